import { DiptychError, Lifetime, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import type { Position } from '@diptych/log';
import { afterEach, describe, expect, it } from 'vitest';
import type { CoherentCacheOptions } from '../src/engine/coherent-cache.js';
import { CoherentCache } from '../src/engine/coherent-cache.js';
import { ENTRY_OVERHEAD_BYTES } from '../src/engine/kept-reply.js';
import { ModelLog } from './model-log.js';

const closings: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closings.splice(0)) await close();
});

async function open(delivery: 'synchronous' | 'best-effort', options: Partial<CoherentCacheOptions> = {}) {
  const clock = new FakeClock({ nowMs: 5_000 });
  const log = new ModelLog({ clock, delivery });
  log.put('a', 'one');
  const lifetime = new Lifetime('test');
  const cache = await CoherentCache.open(log, {
    lifetime,
    clock,
    entriesMax: 100,
    bytesMax: 1_000_000,
    maxStaleMs: 1_000,
    flightTimeoutMs: 5_000,
    flightsMax: 10,
    ...options,
  });
  closings.push(async () => {
    await lifetime.close();
    expect([clock.pending, log.listeners], 'timers and subscriptions left').toEqual([0, 0]);
  });
  const get = (key: string, token?: Position, timeoutMs = 60_000, signal?: AbortSignal) =>
    cache.get({ key, token }, within(timeoutMs, { clock, signal }));
  const text = async (key: string, token?: Position) => {
    const { entry, hit } = await get(key, token);
    return [entry && Buffer.from(entry.value).toString(), hit ? 'hit' : 'read'];
  };
  return { clock, log, lifetime, cache, get, text };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('with the log in one process', () => {
  it('reads the log once, then answers from memory, whatever time passes', async () => {
    const { clock, log, text } = await open('synchronous');
    expect(await text('a')).toEqual(['one', 'read']);
    clock.advance(3_600_000);
    expect(await text('a')).toEqual(['one', 'hit']);
    expect(log.reads).toBe(1);
  });

  it('keeps an absence, until the key is put', async () => {
    const { log, text } = await open('synchronous');
    expect(await text('b')).toEqual([undefined, 'read']);
    expect(await text('b')).toEqual([undefined, 'hit']);
    log.put('b', 'two');
    expect(await text('b')).toEqual(['two', 'read']);
    log.delete('b');
    expect(await text('b')).toEqual([undefined, 'read']);
  });

  it('reads the log once for 1,000 who miss one key together', async () => {
    const { cache, log, get } = await open('synchronous');
    log.holdReads = true;
    const reads = Array.from({ length: 1_000 }, () => get('a'));
    expect(log.reads).toBe(1);
    log.heldReads[0]!.answer();
    for (const { entry, hit } of await Promise.all(reads)) expect([entry?.revision, hit]).toEqual([1, false]);
    expect([log.reads, cache.counts().misses, cache.flights]).toEqual([1, 1_000, 0]);
  });

  it('a commit detaches the flight: those who wait get their answer, later readers the new one, and the old one is not kept', async () => {
    const { log, get, text } = await open('synchronous');
    log.holdReads = true;
    const early = get('a');
    log.heldReads[0]!.look();
    log.put('a', 'two');
    const late = get('a');
    expect(log.reads).toBe(2);
    log.heldReads[1]!.answer();
    expect((await late).entry?.revision).toBe(2);
    log.heldReads[0]!.answer();
    expect((await early).entry?.revision).toBe(1);
    expect(await text('a')).toEqual(['two', 'hit']);
  });

  it('keeps what a detached flight brings if it shows the commit', async () => {
    const { log, get, text } = await open('synchronous');
    log.holdReads = true;
    const read = get('a');
    log.put('a', 'two');
    log.heldReads[0]!.answer();
    await read;
    expect(await text('a')).toEqual(['two', 'hit']);
  });

  it('does not keep the answer of a log that shows less than was heard of before the read began', async () => {
    const { log, get, text } = await open('synchronous');
    const stale = await log.read({ key: 'a' }, within(1_000));
    log.put('a', 'two');
    const { read } = log;
    log.read = async () => stale;
    expect((await get('a')).entry?.revision).toBe(1);
    log.read = read;
    expect(await text('a')).toEqual(['two', 'read']);
  });

  it('an answer that comes after the flight gave up is not kept', async () => {
    const { clock, log, get, text } = await open('synchronous', { flightTimeoutMs: 100 });
    log.holdReads = true;
    const read = get('a').catch((error: unknown) => error);
    const late = log.heldReads[0]!;
    late.look();
    clock.advance(200);
    expect(await read).toMatchObject({ code: 'DEADLINE_EXCEEDED', message: expect.stringContaining('within 100 ms') });
    log.put('a', 'two');
    late.answer();
    await settled();
    log.holdReads = false;
    expect(await text('a')).toEqual(['two', 'read']);
  });

  it('purge forgets all, and what was under way is not kept', async () => {
    const { cache, clock, log, get, text } = await open('synchronous');
    await get('a');
    log.holdReads = true;
    const before = get('b');
    expect(await cache.purge({}, within(1_000, { clock }))).toEqual({ dropped: 1 });
    const after = get('b');
    expect(log.reads).toBe(3);
    for (const read of [...log.heldReads]) read.answer();
    await Promise.all([before, after]);
    log.holdReads = false;
    expect((await text('b'))[1]).toBe('hit'); // of the second read
    expect(await cache.purge({}, within(1_000, { clock }))).toEqual({ dropped: 1 });
    expect((await text('a'))[1]).toBe('read');
  });
});

describe('those who wait', () => {
  it('each leave at their own deadline or signal, and the flight goes on for the others and for memory', async () => {
    const { clock, log, get, text } = await open('synchronous');
    log.holdReads = true;
    const patient = get('a');
    const hasty = get('a', undefined, 50).catch((error: unknown) => error);
    const abort = new AbortController();
    const cancelled = get('a', undefined, 60_000, abort.signal).catch((error: unknown) => error);
    abort.abort();
    clock.advance(60);
    expect([await hasty, await cancelled]).toMatchObject([{ code: 'DEADLINE_EXCEEDED' }, { code: 'CANCELLED' }]);
    expect(log.heldReads[0]!.context.deadlineMs).toBe(10_000);
    log.heldReads[0]!.answer();
    expect((await patient).entry?.revision).toBe(1);
    expect(await text('a')).toEqual(['one', 'hit']);
  });

  it('may all leave: the flight still fills the cache', async () => {
    const { log, get, text } = await open('synchronous');
    log.holdReads = true;
    const abort = new AbortController();
    const only = get('a', undefined, 60_000, abort.signal).catch((error: unknown) => error);
    abort.abort();
    expect(await only).toMatchObject({ code: 'CANCELLED' });
    log.heldReads[0]!.answer();
    await settled();
    expect(await text('a')).toEqual(['one', 'hit']);
  });

  it('come too late when their deadline is past, and cost no read', async () => {
    const { log, get } = await open('synchronous');
    await expect(get('a', undefined, -1)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', definite: true });
    await expect(get('a', undefined, 1_000, AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED', definite: true });
    expect(log.reads).toBe(0);
  });

  it('all get the error of their flight, which is not kept', async () => {
    const { log, get, text } = await open('synchronous');
    log.holdReads = true;
    const reads = [get('a'), get('a')].map((read) => read.catch((error: unknown) => error));
    log.heldReads[0]!.fail(new DiptychError('UNAVAILABLE', 'the log is away'));
    expect(await Promise.all(reads)).toMatchObject([{ code: 'UNAVAILABLE' }, { code: 'UNAVAILABLE' }]);
    log.holdReads = false;
    expect(await text('a')).toEqual(['one', 'read']);
  });

  it('are OVERLOADED beyond the bound of flights, but may still join', async () => {
    const { log, get } = await open('synchronous', { flightsMax: 2 });
    log.holdReads = true;
    const reads = [get('a'), get('b'), get('a')];
    await expect(get('c')).rejects.toMatchObject({ code: 'OVERLOADED' });
    for (const read of [...log.heldReads]) read.answer();
    await Promise.all(reads);
    log.holdReads = false;
    await get('c');
  });

  it('are told UNAVAILABLE when the cache closes, and so are those who come after', async () => {
    const { log, lifetime, get } = await open('synchronous');
    log.holdReads = true;
    const read = get('a').catch((error: unknown) => error);
    await lifetime.close();
    expect(await read).toMatchObject({ code: 'UNAVAILABLE' });
    await expect(get('a')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('bounds', () => {
  it('hold for entries and bytes; evictions are counted', async () => {
    const { cache, log, get } = await open('synchronous', { entriesMax: 3, bytesMax: 3 * ENTRY_OVERHEAD_BYTES });
    for (const key of ['b', 'c', 'd', 'e']) log.put(key, 'x'.repeat(20));
    for (const key of ['a', 'b', 'c', 'd', 'e', 'a']) {
      await get(key);
      expect(cache.counts().entries).toBeLessThanOrEqual(2);
      expect(cache.counts().bytes).toBeLessThanOrEqual(3 * ENTRY_OVERHEAD_BYTES);
    }
    expect(cache.counts()).toMatchObject({ evictions: 4, entriesMax: 3, misses: 6 });
  });

  it('a value over the bound of bytes is served and not kept, and pushes nobody out', async () => {
    const { cache, log, get, text } = await open('synchronous', { bytesMax: 10_000 });
    log.put('large', Buffer.alloc(20_000));
    await get('a');
    for (let i = 0; i < 2; i++) expect((await get('large')).entry?.value.byteLength).toBe(20_000);
    expect(await text('a')).toEqual(['one', 'hit']);
    expect(cache.counts()).toMatchObject({ entries: 1, evictions: 0 });
  });

  it('what is kept holds on to no larger buffer, and hits share one frozen reply', async () => {
    const { cache, log, get } = await open('synchronous');
    const frame = new Uint8Array(100_000).fill(7);
    log.put('window', frame.subarray(500, 600));
    const read = await get('window');
    const hit = await get('window');
    expect(read.entry?.value.buffer).toBe(frame.buffer);
    expect(hit.entry?.value.buffer.byteLength).toBe(100);
    expect(Buffer.from(hit.entry!.value).equals(frame.subarray(500, 600))).toBe(true);
    frame.fill(0);
    expect(hit.entry?.value[0]).toBe(7);
    expect(await get('window')).toBe(hit);
    expect([Object.isFrozen(hit), Object.isFrozen(hit.entry), Object.isFrozen(hit.asOf)]).toEqual([true, true, true]);
    expect(cache.counts().bytes).toBe(ENTRY_OVERHEAD_BYTES + 'window'.length + 100 + 'text/plain'.length);
  });
});

describe('with commits that may come late or never', () => {
  it('answers from memory while beacons come, reads through without, and returns', async () => {
    const { cache, clock, log, text } = await open('best-effort');
    log.committedError = new DiptychError('UNAVAILABLE', 'cut off');
    await text('a');
    const tick = () => (clock.advance(100), log.beacon());
    for (let i = 0; i < 50; i++) tick();
    expect(await text('a')).toEqual(['one', 'hit']);
    // How old a beacon is can be told to within the 100 ms between the call that proved the cache level and the first beacon.
    clock.advance(900);
    expect(await text('a')).toEqual(['one', 'hit']);
    clock.advance(101);
    expect(await text('a')).toEqual(['one', 'read']);
    expect(cache.counts()).toMatchObject({ hits: 2, misses: 1, readThroughs: 1 });
    expect(cache.behindMs).toBeGreaterThan(1_000);
    log.committedError = undefined;
    clock.advance(2_000);
    await settled();
    tick();
    expect(await text('a')).toEqual(['one', 'hit']);
  });

  it('a beacon that was long under way does not make the cache fresh', async () => {
    const { clock, log, text } = await open('best-effort');
    await text('a');
    clock.advance(100);
    log.beacon();
    const frozen = clock.wallMs();
    log.committedError = new DiptychError('UNAVAILABLE', 'cut off');
    clock.advance(5_000);
    log.beacon(log.head, frozen + 100);
    expect(await text('a')).toEqual(['one', 'read']);
  });

  it('a lost commit is noticed at the next beacon and fetched', async () => {
    const { cache, clock, log, text } = await open('best-effort');
    await text('a');
    log.holdEvents = true;
    log.put('a', 'two');
    expect(await text('a')).toEqual(['one', 'hit']); // the bounded staleness that the services promise
    log.heldEvents.length = 0;
    log.holdEvents = false;
    clock.advance(100);
    log.beacon();
    await settled();
    expect(await text('a')).toEqual(['two', 'read']);
    expect(cache.counts()).toMatchObject({ gaps: 1, resyncs: 1 });
  });

  it('repeated and disordered commits change nothing', async () => {
    const { log, text } = await open('best-effort');
    log.holdEvents = true;
    log.put('a', 'two');
    log.put('b', 'three');
    const [first, second] = log.heldEvents;
    for (const event of [second!, first!, first!, second!]) log.tell(event);
    await settled();
    expect([await text('a'), await text('a')]).toEqual([
      ['two', 'read'],
      ['two', 'hit'],
    ]);
    log.tell(first!);
    expect(await text('a')).toEqual(['two', 'hit']);
  });

  it('a log that began anew empties the cache, and a fill of its former life is not kept', async () => {
    const { cache, clock, log, get, text } = await open('best-effort');
    await text('a');
    log.holdReads = true;
    const old = get('b');
    log.heldReads[0]!.look();
    log.restart({ a: 'restored' });
    clock.advance(100);
    log.beacon();
    await settled();
    log.heldReads[0]!.answer();
    await old;
    log.holdReads = false;
    expect(await text('a')).toEqual(['restored', 'read']);
    expect((await text('b'))[1]).toBe('read');
    expect(cache.counts().resyncs).toBe(2);
  });

  it('a commit stream that was cut below what the log knows empties the cache', async () => {
    const { cache, clock, log, text } = await open('best-effort');
    await text('a');
    log.holdEvents = true;
    log.put('a', 'two');
    log.compact();
    log.heldEvents.length = 0;
    log.holdEvents = false;
    clock.advance(100);
    log.beacon();
    await settled();
    expect(cache.counts()).toMatchObject({ resyncs: 2, entries: 0 });
    expect(await text('a')).toEqual(['two', 'read']);
  });

  it('keeps nothing before it has found the log, and starts all the same', async () => {
    const clock = new FakeClock();
    const log = new ModelLog({ clock, delivery: 'best-effort' });
    log.committedError = new DiptychError('UNAVAILABLE', 'not yet');
    const lifetime = new Lifetime('test');
    const options = { entriesMax: 10, bytesMax: 10_000, maxStaleMs: 1_000, flightTimeoutMs: 1_000, flightsMax: 10 };
    const cache = await CoherentCache.open(log, { lifetime, clock, ...options });
    closings.push(() => lifetime.close());
    const hit = async () => (await cache.get({ key: 'a' }, within(1_000, { clock }))).hit;
    expect([await hit(), await hit(), cache.behindMs]).toEqual([false, false, Infinity]);
    log.committedError = undefined;
    clock.advance(2_000);
    await settled();
    expect([await hit(), await hit()]).toEqual([false, true]);
  });

  it('does not keep what a log says that began anew before the cache has heard of it', async () => {
    const { log, text } = await open('best-effort');
    log.restart({ a: 'restored', b: 'restored too' });
    expect([await text('a'), await text('a')]).toEqual([
      ['restored', 'read'],
      ['restored', 'read'],
    ]);
  });

  it('does not join a flight older than the staleness allowed, nor lets it undo what a later one brought', async () => {
    const { clock, log, get, text } = await open('best-effort');
    log.holdReads = true;
    const first = get('a');
    log.heldReads[0]!.look();
    clock.advance(1_001);
    log.beacon();
    log.holdEvents = true;
    log.put('a', 'two');
    const second = get('a');
    expect(log.reads).toBe(2);
    log.heldReads[1]!.answer();
    expect((await second).entry?.revision).toBe(2);
    log.heldReads[0]!.answer();
    expect((await first).entry?.revision).toBe(1);
    expect(await text('a')).toEqual(['two', 'hit']);
  });
});

describe('a token', () => {
  it('newer than what the cache has heard of reads through, and memory then serves it', async () => {
    const { cache, log, text } = await open('best-effort');
    await text('a');
    log.holdEvents = true;
    const token = log.put('a', 'two');
    expect(await text('a', token)).toEqual(['two', 'read']);
    expect(await text('a', token)).toEqual(['two', 'hit']);
    expect(cache.counts().readThroughs).toBe(1);
    log.deliver();
    expect(await text('a', token)).toEqual(['two', 'hit']);
  });

  it('is satisfied by commits heard of since the entry was read', async () => {
    const { log, text } = await open('best-effort');
    await text('a');
    expect(await text('a', log.put('other', 'x'))).toEqual(['one', 'hit']);
  });

  it('is not satisfied by joining a flight that shows less; those who find that out share one more', async () => {
    const { log, get } = await open('best-effort');
    log.holdReads = true;
    log.holdEvents = true;
    const without = get('a');
    log.heldReads[0]!.look();
    const token = log.put('a', 'two');
    const withToken = [get('a', token), get('a', token), get('a', token)];
    expect(log.reads).toBe(1);
    log.heldReads[0]!.answer();
    await settled();
    expect(log.reads).toBe(2);
    log.heldReads[0]!.answer();
    expect((await without).entry?.revision).toBe(1);
    for (const { entry } of await Promise.all(withToken)) expect(entry?.revision).toBe(2);
  });

  it('of another partition is ignored; of another incarnation reads through', async () => {
    const { log, text } = await open('best-effort');
    await text('a');
    expect(await text('a', { ...log.head, partition: 1, revision: 99 })).toEqual(['one', 'hit']);
    expect(await text('a', { ...log.head, incarnation: 'f'.repeat(16) })).toEqual(['one', 'read']);
  });

  it('that the log itself never gave is answered with what the log has, once read', async () => {
    const { log, text } = await open('best-effort');
    expect(await text('a', { ...log.head, revision: 1_000 })).toEqual(['one', 'read']);
    expect(log.reads).toBe(1);
  });
});
