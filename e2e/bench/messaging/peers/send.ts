import { DiptychClient, DiptychServer } from '@diptych/messaging/nest';
import { NestFactory } from '@nestjs/core';
import { firstValueFrom } from 'rxjs';
import { benchModule } from './bench-controller.js';
import type { Peer } from './peer.js';

/** The same handler and the same `client.send` as over Nest's own NATS transport, on ours. */
export const peer: Peer = {
  async serve(url, values) {
    const strategy = new DiptychServer({ servers: url, name: 'bench-server' });
    const app = await NestFactory.createMicroservice(benchModule(values), { logger: false, strategy });
    await app.listen();
  },

  async connect(url) {
    const client = new DiptychClient({ servers: url, name: 'bench-caller', timeoutMs: 2_000 });
    await client.connect();
    return { get: (key) => firstValueFrom(client.send<string>('bench.get', { key })) };
  },
};
