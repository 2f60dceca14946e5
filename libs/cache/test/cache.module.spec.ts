import { startApp } from '@diptych/host';
import { within } from '@diptych/kernel';
import { LOG_PORT, LogModule } from '@diptych/log';
import type { LogPort } from '@diptych/log';
import { tempDir } from '@diptych/testing';
import type { DynamicModule } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import type { CachePort } from '../src/index.js';
import { CACHE_PORT, CacheModule } from '../src/index.js';

let ports: { cache: CachePort; log: LogPort };

class TestModule {}

/** Decorators are written in `src` only, where the compiler's settings for them hold. */
const root: DynamicModule = {
  module: TestModule,
  imports: [LogModule.inProcess(), CacheModule.inProcess()],
  providers: [
    { provide: TestModule, inject: [CACHE_PORT, LOG_PORT], useFactory: (cache: CachePort, log: LogPort) => (ports = { cache, log }) },
  ],
};

describe('CacheModule.inProcess', () => {
  const start = async (directory: string, variables: Record<string, string> = {}) =>
    startApp(root, {
      name: 'test',
      httpPort: 0,
      variables: { DIPTYCH_LOG_DATA_DIR: directory, DIPTYCH_TELEMETRY_LEVEL: 'silent', ...variables },
    });

  it('provides the cache, its health and its metrics, and follows its settings', async () => {
    await using directory = await tempDir();
    const app = await start(directory.path, { DIPTYCH_CACHE_ENTRIES_MAX: '7', DIPTYCH_CACHE_BYTES_MAX: '5000' });
    try {
      const mutation = { kind: 'put', key: 'a', value: Buffer.from('one'), contentType: 'text/plain' } as const;
      await ports.log.append({ mutation, requestId: '1' }, within(10_000));
      for (const hit of [false, true]) expect((await ports.cache.get({ key: 'a' }, within(10_000))).hit).toBe(hit);
      expect(await ports.cache.stats({}, within(10_000))).toMatchObject({ entries: 1, entriesMax: 7, bytesMax: 5_000 });
      expect(app.telemetry.health.ready().checks['cache']).toEqual({ ok: true });
      const metrics = await app.telemetry.metrics.metrics();
      expect(metrics).toMatch(/^diptych_cache_hits_total 1$/m);
      expect(metrics).toMatch(/^diptych_cache_entries 1$/m);
      expect(metrics).toMatch(/^diptych_cache_behind_seconds 0$/m);
      expect(metrics).toMatch(/diptych_port_call_duration_seconds_count\{port="cache",method="get",binding="in-process",code="OK"\} 2/);
    } finally {
      await app.close();
    }
  });

  it.each([
    [{ DIPTYCH_CACHE_ENTRIES_MAX: '0' }, /DIPTYCH_CACHE_ENTRIES_MAX/],
    [{ DIPTYCH_CACHE_ENTRY_MAX: '10' }, /did you mean DIPTYCH_CACHE_ENTRIES_MAX/],
  ])('refuses the settings %j', async (variables, message) => {
    await using directory = await tempDir();
    await expect(start(directory.path, variables)).rejects.toThrow(message);
  });
});
