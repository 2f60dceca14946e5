import { NestFactory } from '@nestjs/core';
import { Transport } from '@nestjs/microservices';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { benchModule } from '../peers/bench-controller.js';
import { VALUES } from '../peers/peer.js';

/** The service behind the stock gateway: values in a Map, Nest's own NATS transport. */
const app = await NestFactory.createMicroservice<MicroserviceOptions>(benchModule(VALUES), {
  logger: false,
  transport: Transport.NATS,
  options: { servers: [process.argv[2]!], queue: 'bench' },
});
await app.listen();
process.on('disconnect', () => process.exit());
console.log('ready');
