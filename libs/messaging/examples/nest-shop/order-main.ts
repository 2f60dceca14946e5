import 'reflect-metadata';
import { DiptychClient } from '@diptych/messaging/nest';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { ClientProviderOptions, ClientProxy } from '@nestjs/microservices';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { firstValueFrom, lastValueFrom } from 'rxjs';

/** `order-main.ts nats://127.0.0.1:4222 [before]`: as in stock-main.ts, one line changes. */
const servers = process.argv[2] ?? 'nats://127.0.0.1:4222';
const before: ClientProviderOptions = { name: 'STOCK', transport: Transport.NATS, options: { servers: [servers] } };
const after: ClientProviderOptions = { name: 'STOCK', customClass: DiptychClient, options: { servers } };

@Module({ imports: [ClientsModule.register([process.argv[3] === 'before' ? before : after])] })
class OrderModule {}

const app = await NestFactory.createApplicationContext(OrderModule, { logger: false });
const stock = app.get<ClientProxy>('STOCK');
console.log(`apples left: ${await firstValueFrom(stock.send<number>('stock.left', 'apple'))}`);
console.log(await firstValueFrom(stock.send<string>({ cmd: 'reserve' }, { sku: 'apple', workMs: 1 })));
console.log(`apples left: ${await firstValueFrom(stock.send<number>('stock.left', 'apple'))}`);
await lastValueFrom(stock.emit('order.placed', { id: 7 }));
await app.close();
