import 'reflect-metadata';
import { Controller, Get, Module, Param } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';

/**
 * The yardstick: what Nest on Fastify costs when it does nothing but look a key up in a Map. No conditions, no revisions, no
 * metrics, no deadlines. Prints its address and stops at SIGTERM.
 */
const entries = new Map<string, Buffer>([['bench', Buffer.alloc(256, 'x')]]);

@Controller('v1/keys')
class KeysController {
  @Get(':key')
  get(@Param('key') key: string): Buffer | undefined {
    return entries.get(key);
  }
}

@Module({ controllers: [KeysController] })
class BareModule {}

const app = await NestFactory.create<NestFastifyApplication>(BareModule, new FastifyAdapter(), { logger: false });
await app.listen(0, '127.0.0.1');
process.stdout.write(`${await app.getUrl()}\n`);
process.once('SIGTERM', () => void app.close());
