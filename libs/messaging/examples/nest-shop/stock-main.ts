import 'reflect-metadata';
import { DiptychServer } from '@diptych/messaging/nest';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { Transport } from '@nestjs/microservices';
import { StockModule } from './stock.module.js';

/** `stock-main.ts nats://127.0.0.1:4222 [before]`: the one line that changes is in `after`. */
const servers = process.argv[2] ?? 'nats://127.0.0.1:4222';
const before: MicroserviceOptions = { transport: Transport.NATS, options: { servers: [servers], queue: 'stock' } };
const after: MicroserviceOptions = { strategy: new DiptychServer({ servers, queue: 'stock' }) };

const app = await NestFactory.createMicroservice<MicroserviceOptions>(StockModule, process.argv[3] === 'before' ? before : after);
app.enableShutdownHooks();
await app.listen();
console.log('stock serves');
