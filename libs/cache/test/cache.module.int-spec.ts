import { NATS_LINK, NatsModule, startApp } from '@diptych/host';
import { within } from '@diptych/kernel';
import { LogModule } from '@diptych/log';
import type { NatsLink } from '@diptych/messaging';
import { startNatsServer, tempDir } from '@diptych/testing';
import type { DynamicModule } from '@nestjs/common';
import { expect, it } from 'vitest';
import type { CachePort } from '../src/index.js';
import { CacheModule, cachePort } from '../src/index.js';

it('a cache is given no calls before all else of its process has started', async () => {
  await using nats = await startNatsServer();
  await using directory = await tempDir();
  let cache: CachePort | undefined;
  let early: unknown;
  const LATE = Symbol('a module that starts last');
  const root: DynamicModule = {
    module: class {},
    imports: [NatsModule, LogModule.inProcess(), CacheModule.inProcess(), CacheModule.served()],
    providers: [
      {
        provide: LATE,
        inject: [NATS_LINK],
        useFactory: (link: NatsLink) => ({
          async onModuleInit() {
            cache = link.client(cachePort);
            early = await cache.get({ key: 'a' }, within(10_000)).catch((error: unknown) => error);
          },
        }),
      },
    ],
  };
  const variables = { DIPTYCH_LOG_DATA_DIR: directory.path, DIPTYCH_NATS_URL: nats.url, DIPTYCH_TELEMETRY_LEVEL: 'silent' };
  const app = await startApp(root, { name: 'test', httpPort: 0, variables });
  try {
    expect(early).toMatchObject({ code: 'UNAVAILABLE' });
    expect(await cache!.get({ key: 'a' }, within(10_000))).toMatchObject({ hit: false });
  } finally {
    await app.close();
  }
});
