import { DiptychError, Lifetime, within } from '@diptych/kernel';
import type { BindingName } from '@diptych/messaging/testing';
import { describeOverBindings } from '@diptych/messaging/testing';
import { expect, it } from 'vitest';
import type { CachePort } from '../src/cache.port.js';
import { cachePort } from '../src/cache.wire.js';
import { CoherentCache } from '../src/engine/coherent-cache.js';
import { ModelLog } from './model-log.js';

/**
 * What a caller of the cache's port may rely on, whatever binding it came by. Requests that are safe to repeat are repeated.
 */
export function cacheContract(bindings: readonly BindingName[]): void {
  let log: ModelLog;
  const create = async () => {
    log = new ModelLog();
    log.put('a', 'one');
    const lifetime = new Lifetime('contract');
    const bounds = { entriesMax: 100, bytesMax: 1_500_000, maxStaleMs: 1_000, flightTimeoutMs: 20_000, flightsMax: 2 };
    const implementation: CachePort = await CoherentCache.open(log, { lifetime, ...bounds });
    return { implementation, dispose: () => lifetime.close() };
  };
  const soon = () => within(10_000);

  describeOverBindings<CachePort>('CachePort', { descriptor: cachePort, create, bindings }, (open) => {
    it('answers a miss from the log and then hits, with the same entry', async () => {
      const cache = await open();
      const miss = await cache.get({ key: 'a' }, soon());
      const hit = await cache.get({ key: 'a' }, soon());
      expect([miss.hit, hit.hit]).toEqual([false, true]);
      for (const { entry, asOf } of [miss, hit]) {
        expect(entry).toMatchObject({ key: 'a', contentType: 'text/plain', revision: 1 });
        expect(Buffer.from(entry!.value).toString()).toBe('one');
        expect(asOf).toEqual(log.head);
      }
    });

    it('an absent key is a value, not an error', async () => {
      const cache = await open();
      for (const hit of [false, true]) {
        const reply = await cache.get({ key: 'none' }, soon());
        expect([reply.entry, reply.hit, reply.asOf]).toEqual([undefined, hit, log.head]);
      }
    });

    it.each([
      ['empty', new Uint8Array()],
      ['every byte', Uint8Array.from({ length: 256 }, (_, i) => i)],
      ['the largest', new Uint8Array(1_000_000).fill(0xff)],
    ])('carries a value unchanged: %s', async (_name, value) => {
      const cache = await open();
      log.put('k', value);
      for (let i = 0; i < 2; i++) {
        const { entry } = await cache.get({ key: 'k' }, soon());
        expect(entry!.value).toBeInstanceOf(Uint8Array);
        expect(Buffer.compare(entry!.value, value)).toBe(0);
      }
    });

    it.each(['ü/%2F ?#', '\u0000\u001f', '..', '𝒳'.repeat(256), 'k'.repeat(1_024)])('carries the key %j unchanged', async (key) => {
      const cache = await open();
      log.put(key, 'x');
      for (let i = 0; i < 2; i++) expect((await cache.get({ key }, soon())).entry).toMatchObject({ key, revision: 2 });
    });

    it.each([{}, { key: '' }, { key: 7 }, { key: 'a', token: { revision: 1 } }])('refuses %j with INVALID_REQUEST', async (request) => {
      const cache = await open();
      await expect(cache.get(request as never, soon())).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
      expect(log.reads).toBe(0);
    });

    it('a read after an acknowledged put or delete shows it', async () => {
      const cache = await open();
      await cache.get({ key: 'a' }, soon());
      log.put('a', 'two');
      expect((await cache.get({ key: 'a' }, soon())).entry?.revision).toBe(2);
      log.delete('a');
      expect((await cache.get({ key: 'a' }, soon())).entry).toBeUndefined();
    });

    it('honours a token', async () => {
      const cache = await open();
      await cache.get({ key: 'a' }, soon());
      expect((await cache.get({ key: 'a', token: log.head }, soon())).hit).toBe(true);
      expect((await cache.get({ key: 'a', token: { ...log.head, revision: 5 } }, soon())).hit).toBe(false);
      expect((await cache.get({ key: 'a', token: { ...log.head, partition: 3, revision: 5 } }, soon())).hit).toBe(true);
      expect((await cache.get({ key: 'a', token: { ...log.head, incarnation: 'b'.repeat(16) } }, soon())).hit).toBe(false);
    });

    it('reads the log once for 1,000 concurrent misses of one key', async () => {
      const cache = await open();
      log.holdReads = true;
      const reads = Array.from({ length: 1_000 }, () => cache.get({ key: 'a' }, soon()));
      await expect.poll(async () => (await cache.stats({}, soon())).misses).toBe(1_000);
      expect(log.heldReads).toHaveLength(1);
      log.heldReads[0]!.answer();
      for (const { entry } of await Promise.all(reads)) expect(entry?.revision).toBe(1);
      expect(log.reads).toBe(1);
    });

    it('those who wait end by their own deadline and signal; the others get their answer', async () => {
      const cache = await open();
      log.holdReads = true;
      const patient = cache.get({ key: 'a' }, soon());
      const hasty = cache.get({ key: 'a' }, within(80)).catch((error: unknown) => error);
      const abort = new AbortController();
      const cancelled = cache.get({ key: 'a' }, within(10_000, { signal: abort.signal })).catch((error: unknown) => error);
      await expect.poll(async () => (await cache.stats({}, soon())).misses).toBe(3);
      abort.abort();
      expect([await hasty, await cancelled]).toMatchObject([{ code: 'DEADLINE_EXCEEDED' }, { code: 'CANCELLED' }]);
      log.heldReads[0]!.answer();
      expect((await patient).entry?.revision).toBe(1);
    });

    it('passes on what the log throws, to all who wait, and tries anew for the next', async () => {
      const cache = await open();
      log.holdReads = true;
      const reads = [1, 2].map(() => cache.get({ key: 'a' }, soon()).catch((error: unknown) => error));
      await expect.poll(async () => (await cache.stats({}, soon())).misses).toBe(2);
      log.heldReads[0]!.fail(new DiptychError('UNAVAILABLE', 'the log is away'));
      for (const error of await Promise.all(reads)) expect(error).toMatchObject({ code: 'UNAVAILABLE', definite: true });
      log.holdReads = false;
      expect((await cache.get({ key: 'a' }, soon())).entry?.revision).toBe(1);
    });

    it('leaves the bound of keys to the log', async () => {
      const cache = await open();
      await expect(cache.get({ key: 'ü'.repeat(513) }, soon())).rejects.toMatchObject({ code: 'TOO_LARGE' });
    });

    it('refuses one more read of the log than its bound with OVERLOADED', async () => {
      const cache = await open();
      log.holdReads = true;
      const reads = ['a', 'b'].map((key) => cache.get({ key }, soon()));
      await expect.poll(() => log.heldReads.length).toBe(2);
      await expect(cache.get({ key: 'c' }, soon())).rejects.toMatchObject({ code: 'OVERLOADED', definite: true });
      for (const read of [...log.heldReads]) read.answer();
      await Promise.all(reads);
    });

    it('refuses what is already past its deadline or cancelled, and reads nothing', async () => {
      const cache = await open();
      await expect(cache.get({ key: 'a' }, within(-1))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      await expect(cache.get({ key: 'a' }, within(1_000, { signal: AbortSignal.abort() }))).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(log.reads).toBe(0);
    });

    it('purge drops all, a second time nothing, and stats say what happened', async () => {
      const cache = await open();
      for (const key of ['a', 'b', 'a', 'a']) await cache.get({ key }, soon());
      expect(await cache.stats({}, soon())).toEqual({
        entries: 2,
        entriesMax: 100,
        bytes: expect.any(Number),
        bytesMax: 1_500_000,
        hits: 2,
        misses: 2,
        readThroughs: 0,
        evictions: 0,
        resyncs: 1,
        gaps: 0,
      });
      expect(await cache.purge({}, soon())).toEqual({ dropped: 2 });
      expect(await cache.purge({}, soon())).toEqual({ dropped: 0 });
      expect(await cache.stats({}, soon())).toMatchObject({ entries: 0, bytes: 0 });
      expect((await cache.get({ key: 'a' }, soon())).hit).toBe(false);
    });
  });
}
