import { DiptychError } from '@diptych/kernel';
import { describe, expect, it } from 'vitest';
import { ENTRY_OVERHEAD_BYTES } from '../src/engine/kept-reply.js';
import type { WarmUpOptions } from '../src/engine/warm-up.js';
import { warmUp } from '../src/engine/warm-up.js';
import { open, settled } from './open-cache.js';

/** A cold cache before a log with the keys `k0` to `k99`, `k99` written last. */
async function cold(options: Parameters<typeof open>[1] = {}) {
  const opened = await open('best-effort', options);
  const { cache, clock, log } = opened;
  for (let i = 0; i < 100; i++) log.put(`k${i}`, `value ${i}`);
  const failures: unknown[] = [];
  const warm = (bounds: Partial<WarmUpOptions> = {}) =>
    warmUp(log, cache, {
      keysMax: 10,
      bytesMax: 1_000_000,
      timeoutMs: 1_000,
      readersMax: 4,
      clock,
      signal: new AbortController().signal,
      onFailure: (error) => failures.push(error),
      ...bounds,
    });
  return { ...opened, warm, failures };
}

describe('a warm-up', () => {
  it('reads the keys written last, counts as no read, and leaves the newest to be forgotten last', async () => {
    const { cache, warm, text, log, get } = await cold({ entriesMax: 10 });
    expect(await warm()).toEqual({ keys: 10, entries: 10, bytes: cache.counts().bytes, elapsedMs: 0, end: 'complete' });
    expect([log.reads, cache.counts().misses]).toEqual([10, 0]);
    for (let i = 90; i < 100; i++) await get(`other ${i}`).then(() => expect(cache.counts().entries).toBe(10));
    expect((await text('k99'))[1]).toBe('read');
    await cache.purge({}, { deadlineMs: 1e12 });
    await warm();
    for (let i = 0; i < 9; i++) await get(`other ${i}`);
    expect((await text('k99'))[1]).toBe('hit');
  });

  it('takes each key once, and none that was deleted', async () => {
    const { warm, log, text } = await cold();
    for (let i = 0; i < 15; i++) log.put('hot', String(i));
    log.delete('k98');
    expect(await warm()).toMatchObject({ keys: 10, end: 'complete' });
    expect([(await text('hot'))[1], (await text('k98'))[1], (await text('k90'))[1], (await text('k89'))[1]]).toEqual([
      'hit',
      'read',
      'hit',
      'read',
    ]);
  });

  it('goes back as far as the log still knows', async () => {
    const { warm, log } = await cold();
    log.compact();
    for (const key of ['x', 'y', 'z']) log.put(key, 'new');
    expect((await warm()).keys).toBeGreaterThanOrEqual(2);
    log.compact();
    expect(await warm()).toMatchObject({ keys: 0, end: 'complete' });
  });

  it('ends at its bound of bytes, and of time', async () => {
    const { cache, clock, warm, log } = await cold({ flightTimeoutMs: 60_000 });
    const small = await warm({ bytesMax: 3 * ENTRY_OVERHEAD_BYTES, readersMax: 1 });
    expect([small.end, small.keys]).toEqual(['bytes', 3]);
    await cache.purge({}, { deadlineMs: 1e12 });
    log.holdReads = true;
    const slow = warm();
    await settled();
    clock.advance(1_100);
    expect(await slow).toMatchObject({ end: 'time', keys: 0 });
    for (const read of [...log.heldReads]) read.answer();
  });

  it.each([
    ['entries', { entriesMax: 8 }],
    ['bytes', { bytesMax: 8 * ENTRY_OVERHEAD_BYTES }],
  ])('ends when the cache is full by %s, and holds the newest', async (_, bounds) => {
    const { cache, warm, log, text } = await cold(bounds);
    expect(await warm({ keysMax: 50 })).toMatchObject({ end: 'full' });
    // It has not gone through all of them, and no more of the newest were pushed out than were under way at once.
    expect(log.reads).toBeLessThan(20);
    const { entries } = cache.counts();
    expect(entries).toBeGreaterThan(4);
    for (let i = 0; i < entries; i++) expect((await text(`k${99 - i}`))[1]).toBe('hit');
  });

  it('never takes more flights than the cache has', async () => {
    const { warm, log, cache } = await cold({ flightsMax: 2 });
    log.holdReads = true;
    const warming = warm({ readersMax: 2 });
    while (cache.counts().entries < 10) {
      await settled();
      expect(cache.flights).toBeLessThanOrEqual(2);
      for (const read of [...log.heldReads]) read.answer();
    }
    expect(await warming).toMatchObject({ keys: 10, end: 'complete' });
  });

  it('ends when the log does not answer, and when the cache closes', async () => {
    const { warm, log, failures, lifetime } = await cold();
    log.committedError = new DiptychError('UNAVAILABLE', 'away');
    expect(await warm()).toMatchObject({ keys: 0, end: 'failed' });
    log.committedError = undefined;
    log.holdReads = true;
    const warming = warm({ signal: lifetime.signal });
    await settled();
    await lifetime.close();
    expect(await warming).toMatchObject({ keys: 0, end: 'failed' });
    expect(failures.length).toBe(2);
  });
});
