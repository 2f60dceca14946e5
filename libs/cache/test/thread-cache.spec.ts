import { Lifetime, systemClock, within } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { SharedCacheKeeper } from '../src/engine/thread-history.js';
import { ThreadCache } from '../src/engine/thread-cache.js';
import { warmUp } from '../src/engine/warm-up.js';
import { ModelLog } from './model-log.js';

/*
 * Claim: a read that starts after an acknowledged write sees it, through whichever thread, whatever is on its way between threads.
 *
 * Method: two caches on one memory, as two threads have them, before a log whose reads wait until the test lets them go on. That the memory
 * itself is safe between real threads is the claim of the soak; that the whole is linearizable, of the lab.
 */
describe('the cache of several threads', () => {
  const lifetimes: Lifetime[] = [];
  afterEach(async () => {
    for (const lifetime of lifetimes.splice(0)) await lifetime.close();
  });

  async function open() {
    const log = new ModelLog();
    log.put('a', 'one');
    const lifetime = new Lifetime('test');
    lifetimes.push(lifetime);
    const gaps: number[] = [];
    const bounds = { lifetime, entriesMax: 100, bytesMax: 2_000_000 };
    const keeper = await SharedCacheKeeper.open(log, log.head, { ...bounds, onGap: (revision) => gaps.push(revision) });
    const threads = [1, 2].map(() => new ThreadCache(log, keeper.history, { lifetime, flightTimeoutMs: 5_000, flightsMax: 10 }));
    const read = async (thread: number, key = 'a', token = log.head) => {
      const { entry, hit } = await threads[thread]!.get({ key, token }, within(5_000));
      return [entry && Buffer.from(entry.value).toString(), hit ? 'hit' : 'read'];
    };
    return { log, keeper, threads, read, gaps };
  }

  it('what one thread has read the other has, with its type and revision; absences too', async () => {
    const { read, threads, log } = await open();
    expect([await read(0), await read(1), await read(0, 'none'), await read(1, 'none')]).toEqual([
      ['one', 'read'],
      ['one', 'hit'],
      [undefined, 'read'],
      [undefined, 'hit'],
    ]);
    const { entry, asOf } = await threads[1]!.get({ key: 'a' }, within(5_000));
    expect([entry, asOf]).toEqual([{ key: 'a', value: Buffer.from('one'), contentType: 'text/plain', revision: 1 }, log.head]);
  });

  it('a commit takes the entry away from all of them', async () => {
    const { log, read } = await open();
    await read(0);
    log.put('a', 'two');
    expect([await read(1), await read(0)]).toEqual([
      ['two', 'read'],
      ['two', 'hit'],
    ]);
    log.delete('a');
    expect(await read(1)).toEqual([undefined, 'read']);
  });

  it('an answer that a commit has overtaken on its way is not kept', async () => {
    const { log, threads, read } = await open();
    log.holdReads = true;
    const early = threads[0]!.get({ key: 'a' }, within(5_000));
    log.heldReads[0]!.look();
    log.put('a', 'two');
    log.heldReads[0]!.answer();
    expect(Buffer.from((await early).entry!.value).toString()).toBe('one');
    log.holdReads = false;
    expect(await read(1)).toEqual(['two', 'read']);
  });

  it('nobody who comes after a commit waits for an answer that it has overtaken', async () => {
    const { log, threads, read } = await open();
    log.holdReads = true;
    const early = threads[0]!.get({ key: 'a' }, within(5_000));
    const held = log.heldReads[0]!;
    held.look();
    log.put('a', 'two');
    const late = threads[0]!.get({ key: 'a' }, within(5_000));
    expect(log.heldReads).toHaveLength(2);
    held.answer();
    expect(Buffer.from((await early).entry!.value).toString()).toBe('one');
    log.heldReads[0]!.answer();
    expect(Buffer.from((await late).entry!.value).toString()).toBe('two');
    log.holdReads = false;
    expect(await read(1)).toEqual(['two', 'hit']);
  });

  it('reads the log once a thread for those who miss the same key, however many they are', async () => {
    const { log, threads } = await open();
    log.holdReads = true;
    const reads = Array.from({ length: 1_000 }, (_, i) => threads[i % 2]!.get({ key: 'a' }, within(5_000)));
    expect(log.heldReads).toHaveLength(2);
    for (const held of [...log.heldReads]) held.answer();
    for (const { entry } of await Promise.all(reads)) expect(entry!.revision).toBe(1);
  });

  it('warms up for all threads, and what is committed meanwhile has the last word', async () => {
    const { log, keeper, read } = await open();
    for (const key of ['b', 'c', 'd']) log.put(key, `value of ${key}`);
    log.holdReads = true;
    const signal = new AbortController().signal;
    const bounds = { keysMax: 3, bytesMax: 1_000_000, timeoutMs: 60_000, readersMax: 8, clock: systemClock, signal };
    const warming = warmUp(log, keeper, bounds);
    await waitFor(() => log.heldReads.length === 3, { what: 'all three are being read', timeoutMs: 60_000 });
    for (const held of log.heldReads) held.look();
    log.put('c', 'new');
    for (const held of [...log.heldReads]) held.answer();
    expect(await warming).toMatchObject({ keys: 3, entries: 2, end: 'complete' });
    log.holdReads = false;
    const reads = log.reads;
    expect([await read(0, 'b'), await read(1, 'd'), await read(0, 'a'), await read(1, 'c')]).toEqual([
      ['value of b', 'hit'],
      ['value of d', 'hit'],
      ['one', 'read'],
      ['new', 'read'],
    ]);
    expect(log.reads - reads).toBe(2);
  });

  it('reads through for a token of another history, or of a revision that there is not', async () => {
    const { log, read } = await open();
    await read(0);
    expect(await read(1, 'a', { ...log.head, revision: 50 })).toEqual(['one', 'read']);
    expect(await read(1, 'a', { ...log.head, incarnation: 'f'.repeat(16) })).toEqual(['one', 'read']);
    expect(await read(1, 'a', { ...log.head, partition: 9, revision: 50 })).toEqual(['one', 'hit']);
  });

  it('begins anew when the log has left out revisions: nothing held or on its way is believed', async () => {
    const { log, threads, read, gaps } = await open();
    await read(0);
    log.holdReads = true;
    const early = threads[1]!.get({ key: 'b' }, within(5_000));
    log.heldReads[0]!.look();
    log.beacon({ ...log.head, revision: 1_000 });
    log.heldReads[0]!.answer();
    await early;
    log.holdReads = false;
    expect(gaps).toEqual([1_000]);
    expect([await read(0), await read(1, 'b')]).toEqual([
      ['one', 'read'],
      [undefined, 'read'],
    ]);
    expect(await read(1)).toEqual(['one', 'hit']);
  });
});
