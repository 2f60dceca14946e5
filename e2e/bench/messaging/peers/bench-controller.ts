import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import type { Values } from './peer.js';

/** The serving side as a Nest team writes it; the transport is the business of who starts it. Text, because JSON carries that with less work. */
export function benchModule(values: Values): DynamicModule {
  const entries = new Map(Object.entries(values));

  @Controller()
  class BenchController {
    @MessagePattern('bench.get')
    get({ key }: { key: string }): string | undefined {
      return entries.get(key);
    }
  }

  @Module({})
  class BenchModule {}

  return { module: BenchModule, controllers: [BenchController] };
}
