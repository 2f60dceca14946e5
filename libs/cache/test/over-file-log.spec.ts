import { Lifetime, within } from '@diptych/kernel';
import { logPort, openFileLog } from '@diptych/log';
import type { LogPort } from '@diptych/log';
import { inProcess } from '@diptych/messaging';
import { seedFromEnv, tempDir } from '@diptych/testing';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { CachePort } from '../src/cache.port.js';
import { cachePort } from '../src/cache.wire.js';
import { CoherentCache } from '../src/engine/coherent-cache.js';

/*
 * Goal: what the model shows holds with the log that the monolith has: files, group commit, real promises.
 *
 * Method: concurrent clients put, delete and read a few keys. A read must show at least the newest mutation that was
 * acknowledged, or shown to anybody, before it began; and what it shows must be what that mutation wrote.
 */
const closings: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (let close = closings.pop(); close; close = closings.pop()) await close();
});

async function openMonolith(entriesMax: number) {
  const directory = await tempDir();
  closings.push(() => directory.remove());
  const fileLog = await openFileLog({ directory: directory.path, segmentBytes: 65_536 });
  closings.push(() => fileLog.close());
  let reads = 0;
  const log = inProcess<LogPort>(logPort, fileLog);
  const counting: LogPort = { ...log, read: (request, context) => (reads++, log.read(request, context)) };
  const lifetime = new Lifetime('test');
  const bounds = { entriesMax, bytesMax: 1_000_000, maxStaleMs: 1_000, flightTimeoutMs: 10_000, flightsMax: 1_024 };
  const engine = await CoherentCache.open(counting, { lifetime, ...bounds });
  closings.push(() => lifetime.close());
  return { log, cache: inProcess<CachePort>(cachePort, engine), reads: () => reads };
}

describe('the cache in one process with the file log', () => {
  it('reads the log once for 1,000 concurrent misses of one key', async () => {
    const { cache, log, reads } = await openMonolith(100);
    const mutation = { kind: 'put', key: 'a', value: Buffer.from('one'), contentType: 'text/plain' } as const;
    await log.append({ mutation, requestId: '1' }, within(10_000));
    const replies = await Promise.all(Array.from({ length: 1_000 }, () => cache.get({ key: 'a' }, within(10_000))));
    expect(new Set(replies.map(({ entry }) => Buffer.from(entry!.value).toString()))).toEqual(new Set(['one']));
    expect(reads()).toBe(1);
    expect((await cache.get({ key: 'a' }, within(10_000))).hit).toBe(true);
  });

  it.each([2, 100])('no read shows less than was acknowledged or shown before it began, with room for %i entries', async (entriesMax) => {
    const { cache, log } = await openMonolith(entriesMax);
    const [clients, operations, keys] = [16, 150, ['a', 'b', 'c', 'd']];
    const known = new Map(keys.map((key) => [key, 0]));
    const written = new Map<number, { key: string; value: string | undefined }>();
    const shown: Array<{ key: string; least: number; revision: number | undefined; value: string | undefined; asOf: number }> = [];
    const learn = (key: string, revision: number) => known.set(key, Math.max(known.get(key)!, revision));
    const [choices] = fc.sample(fc.array(fc.nat({ max: 999 }), { minLength: clients * operations, maxLength: clients * operations }), {
      numRuns: 1,
      seed: seedFromEnv(),
    });

    const client = async (number: number) => {
      for (let i = 0; i < operations; i++) {
        const choice = choices![number * operations + i]!;
        const key = keys[choice % keys.length]!;
        const requestId = `${number}.${i}`;
        if (choice < 700) {
          const least = known.get(key)!;
          const { entry, asOf } = await cache.get({ key }, within(10_000));
          const value = entry && Buffer.from(entry.value).toString();
          shown.push({ key, least, revision: entry?.revision, value, asOf: asOf.revision });
          if (entry) learn(key, entry.revision);
        } else {
          const value = choice < 900 ? requestId : undefined;
          const { position } = await log.append(
            value === undefined
              ? { mutation: { kind: 'delete', key }, requestId }
              : { mutation: { kind: 'put', key, value: Buffer.from(value), contentType: 'text/plain' }, requestId },
            within(10_000),
          );
          written.set(position.revision, { key, value });
          learn(key, position.revision);
        }
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));

    const deletes = [...written].filter(([, { value }]) => value === undefined);
    expect(deletes.length).toBeGreaterThan(20);
    for (const { key, least, revision, value, asOf } of shown) {
      expect(asOf).toBeGreaterThanOrEqual(Math.max(least, revision ?? 0));
      if (revision !== undefined) {
        expect(revision).toBeGreaterThanOrEqual(least);
        expect(written.get(revision)).toEqual({ key, value });
      } else if (least > 0) {
        // Absent because of a delete at `least` or later, which the answer shows.
        expect(deletes.some(([at, deleted]) => deleted.key === key && at >= least && at <= asOf)).toBe(true);
      }
    }
    const { hits, misses, evictions } = await cache.stats({}, within(1_000));
    expect(hits + misses).toBe(shown.length);
    expect(hits).toBeGreaterThan(100);
    if (entriesMax === 2) expect(evictions).toBeGreaterThan(50);
  });
});
