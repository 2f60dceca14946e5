import { DiptychError, within } from '@diptych/kernel';
import { describe, expect, it } from 'vitest';
import { ENTRY_OVERHEAD_BYTES } from '../src/engine/kept-reply.js';
import { open, settled } from './open-cache.js';

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
