import 'reflect-metadata';
import { Controller, Get, Inject, Module, NotFoundException, Param } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxy, ClientsModule, Transport } from '@nestjs/microservices';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { firstValueFrom } from 'rxjs';

/** What a Nest team has when it has split and changed nothing: HTTP on Fastify, and a ClientProxy over Nest's own NATS transport. */
const CACHE = Symbol('cache');

@Controller('v1/keys')
class KeysController {
  constructor(@Inject(CACHE) private readonly cache: ClientProxy) {}

  @Get(':key')
  async get(@Param('key') key: string): Promise<string> {
    const value = await firstValueFrom(this.cache.send<string | undefined>('bench.get', { key }), { defaultValue: undefined });
    if (value === undefined) throw new NotFoundException();
    return value;
  }
}

@Module({
  imports: [ClientsModule.register([{ name: CACHE, transport: Transport.NATS, options: { servers: [process.argv[2]!] } }])],
  controllers: [KeysController],
})
class GatewayModule {}

const app = await NestFactory.create<NestFastifyApplication>(GatewayModule, new FastifyAdapter(), { logger: false });
await app.listen(0, '127.0.0.1');
process.on('disconnect', () => process.exit());
console.log(await app.getUrl());
