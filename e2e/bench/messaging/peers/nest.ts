import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, Transport } from '@nestjs/microservices';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { benchModule } from './bench-controller.js';
import type { Peer } from './peer.js';

/** Nest's own NATS transport. No `timeout` operator on the calls, as in its documentation: it would only cost it time. */
export const peer: Peer = {
  async serve(url, values) {
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(benchModule(values), {
      logger: false,
      transport: Transport.NATS,
      options: { servers: [url], queue: 'bench', name: 'bench-server' },
    });
    await app.listen();
  },

  async connect(url) {
    const client = ClientProxyFactory.create({ transport: Transport.NATS, options: { servers: [url], name: 'bench-caller' } });
    await client.connect();
    return { get: (key) => firstValueFrom(client.send<string>('bench.get', { key })) };
  },
};
