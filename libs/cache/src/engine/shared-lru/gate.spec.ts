import { threadId } from 'node:worker_threads';
import { FakeClock } from '@diptych/kernel/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { problemsOf } from '../../../test/soak/soundness.js';
import { Control, Head, layoutOf } from './layout.js';
import type { SharedLruCacheListener } from './options.js';
import { SharedLruCache } from './shared-lru-cache.js';

/*
 * Claim: whatever happens under a lock, or to its holder, the shard goes on, is sound, and shows nothing that should be gone.
 */
const ONE_SHARD = { capacity: 8, bytesMax: 8 * 320, shards: 1, lockTimeoutMs: 5 };
const BYTE = new Uint8Array(1);

describe('a lock of SharedLruCache', () => {
  it('gives up on a lock in time: a look-up is a miss, and what a change could not do is made up for by emptying the shard', () => {
    const cache = SharedLruCache.create({ capacity: 8, bytesMax: 8 * 320, shards: 1, lockTimeoutMs: 5 });
    cache.add('k', new Uint8Array(1));
    const { words, lockAt } = lockOf(cache);
    Atomics.store(words, lockAt, 99);
    expect([cache.get('k'), cache.contains('k')]).toEqual([undefined, false]);
    expect(cache.remove('k')).toBe(false);
    cache.invalidate('other', 7);
    Atomics.store(words, lockAt, 0);
    expect(cache.get('k')).toBeUndefined();
    expect(cache.counts).toMatchObject({ timedOut: 4, emptied: 1 });
    expect([cache.fill('other', new Uint8Array(1), 6), cache.fill('other', new Uint8Array(1), 7)]).toEqual([false, true]);
  });

  it('empties and frees the shard whose holder died, and keeps its watermarks', () => {
    const cache = SharedLruCache.create({ capacity: 8, bytesMax: 8 * 320, shards: 1, lockTimeoutMs: 5 });
    cache.add('a', new Uint8Array(1));
    cache.invalidate('k', 7);
    const { words, lockAt } = lockOf(cache);
    words[Head.SEATS + 4] = 1_000 + 1;
    Atomics.store(words, lockAt, 5);
    expect(cache.get('a')).toBeUndefined();
    expect(cache.threadExited(999)).toBe(0);
    expect(cache.threadExited(1_000)).toBe(1);
    expect(cache.threadExited(1_000)).toBe(0);
    expect([cache.length, cache.fill('k', new Uint8Array(1), 6)]).toEqual([0, false]);
    expect(cache.fill('k', new Uint8Array(1), 8)).toBe(true);
  });

  it('that a listing did not get in time is passed over, and nothing is lost', () => {
    const cache = SharedLruCache.create({ ...ONE_SHARD, shards: 2 });
    for (let i = 0; i < 8; i++) cache.add(`${i}`, BYTE);
    const all = cache.keys();
    const { words, lockAt } = lockOf(cache);
    Atomics.store(words, lockAt, 99);
    const listed = cache.keys();
    Atomics.store(words, lockAt, 0);
    expect(listed).toEqual(all.filter((key) => cache.shardOf(key) === 1));
    expect([cache.keys(), cache.counts.timedOut, cache.counts.emptied]).toEqual([all, 1, 0]);
  });

  it('is taken over once from a holder that died, and whoever has been given its seat since keeps that', () => {
    const cache = SharedLruCache.create(ONE_SHARD);
    const { words, lockAt } = lockOf(cache);
    const WAITERS = 1 << 16;
    words[Head.SEATS + 4] = 1_000 + 1;
    Atomics.store(words, lockAt, 5 | WAITERS);
    // Another thread that learns of the same death does it first, right after this one has looked.
    const exchange = Atomics.compareExchange.bind(Atomics) as (words: Int32Array, at: number, from: number, to: number) => number;
    const quicker = (words: Int32Array, at: number, from: number, to: number) => {
      vi.restoreAllMocks();
      Atomics.store(words, lockAt, 9);
      words[Head.SEATS + 4] = 2_000 + 1;
      return exchange(words, at, from, to);
    };
    vi.spyOn(Atomics, 'compareExchange').mockImplementation(quicker as never);
    expect(cache.threadExited(1_000)).toBe(0);
    expect([words[lockAt], words[Head.SEATS + 4]]).toEqual([9, 2_001]);
  });

  it('is not had any more by who has said that it uses the cache no more, however often it says so', () => {
    const cache = SharedLruCache.create(ONE_SHARD);
    const first = SharedLruCache.attach(cache.memory);
    first.add('k', BYTE);
    first[Symbol.dispose]();
    using second = SharedLruCache.attach(cache.memory);
    first[Symbol.dispose]();
    const seats = new Int32Array(cache.memory, Head.SEATS * 4, 3);
    expect([...seats]).toEqual([threadId + 1, threadId + 1, 0]);
    expect([first.get('k'), first.contains('k'), first.keys()]).toEqual([undefined, false, []]);
    expect(second.contains('k')).toBe(true);
    // What it can no longer take out itself is taken out by the next who comes.
    first.remove('k');
    expect([second.contains('k'), second.counts.timedOut]).toEqual([false, 0]);
  });
});

describe('what throws under a lock of SharedLruCache', () => {
  afterEach(() => void vi.restoreAllMocks());

  function open(listener: SharedLruCacheListener = {}) {
    const cache = SharedLruCache.create({ ...ONE_SHARD, ...listener });
    const other = SharedLruCache.attach(cache.memory, { ...listener, lockTimeoutMs: 5 });
    cache.invalidate('k', 7);
    for (let i = 0; i < 8; i++) cache.add(`${i}`, new Uint8Array(100));
    const isSound = () => {
      expect(other.add('new', BYTE)).toBe(other.length > 8);
      expect([other.contains('new'), other.counts.timedOut, problemsOf(cache.memory)]).toEqual([true, 0, []]);
      expect([other.fill('k', BYTE, 6), other.fill('k', BYTE, 8)]).toEqual([false, true]);
    };
    return { cache, other, isSound };
  }
  const noMemory = (): never => {
    throw new RangeError('Array buffer allocation failed');
  };

  it.each([
    ['evicted', (cache: SharedLruCache) => cache.add('one more', BYTE)],
    ['removed', (cache: SharedLruCache) => cache.remove('3')],
    ['purged', (cache: SharedLruCache) => cache.purge()],
  ])('leaves the lock free and the shard empty, when there is no memory for the copy of what is %s', (_, change) => {
    const { cache, other, isSound } = open({ onEvict: () => undefined });
    vi.spyOn(Buffer, 'allocUnsafe').mockImplementation(noMemory);
    expect(() => change(cache)).toThrow('allocation failed');
    vi.restoreAllMocks();
    expect([other.length, other.counts.emptied]).toEqual([0, 1]);
    isSound();
  });

  it('leaves no half of an entry, when its value cannot be read', () => {
    const { cache, other, isSound } = open();
    const memory = new ArrayBuffer(16, { maxByteLength: 16 });
    const cutOff = new Uint8Array(memory, 8, 8);
    memory.resize(4);
    cache.remove('0');
    expect(() => cache.add('k', cutOff)).toThrow(TypeError);
    expect([other.contains('k'), other.length]).toEqual([false, 0]);
    isSound();
  });

  it('and what throws before it changes nothing: no memory for a copy, a clock that fails, a value that was sent away', () => {
    const clock = new FakeClock();
    const { cache, other } = open({ clock });
    cache.add('1', new Uint8Array(200), 1_000);
    for (const size of [100, 1_000]) other.add('large', new Uint8Array(size));
    vi.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation(noMemory);
    expect(() => cache.get('large')).toThrow('allocation failed');
    vi.restoreAllMocks();
    vi.spyOn(clock, 'nowMs').mockImplementation(() => {
      throw new Error('no time');
    });
    for (const call of ['get', 'peek', 'contains', 'remove'] as const) expect(() => cache[call]('1')).toThrow('no time');
    expect(() => cache.keys()).toThrow('no time');
    expect(() => cache.add('1', BYTE, 5)).toThrow('no time');
    vi.restoreAllMocks();
    const sent = new Uint8Array(4);
    structuredClone(sent, { transfer: [sent.buffer] });
    expect(() => cache.add('1', sent)).toThrow(/sent to another thread/);
    expect([other.get('1')?.length, other.get('large')?.length, other.counts.emptied, other.counts.timedOut]).toEqual([200, 1_000, 0, 0]);
    expect(problemsOf(cache.memory)).toEqual([]);
  });

  it('is never the clock: it is asked before, and may use the cache itself', () => {
    let isAsked = false;
    const nowMs = () => {
      if (!isAsked) {
        isAsked = true;
        expect(cache.keys()).toEqual(cache.length > 0 ? ['k'] : []);
        isAsked = false;
      }
      return 5;
    };
    const cache = SharedLruCache.create({ ...ONE_SHARD, clock: { nowMs } });
    cache.add('k', BYTE, 1);
    expect([cache.get('k'), cache.contains('k'), cache.counts.timedOut]).toEqual([Buffer.from(BYTE), true, 0]);
  });

  it('is made up for by the next call of the same thread, where not even the lock could be let go of', () => {
    const { cache, other } = open();
    const full = vi.spyOn(Atomics, 'exchange').mockImplementation(() => {
      throw new RangeError('Maximum call stack size exceeded');
    });
    expect(() => cache.get('3')).toThrow('call stack');
    full.mockRestore();
    expect([other.get('3'), other.counts.timedOut]).toEqual([undefined, 1]);
    expect([cache.get('3'), cache.counts.emptied]).toEqual([undefined, 1]);
    expect(other.counts.timedOut).toBe(1);
    expect(problemsOf(cache.memory)).toEqual([]);
  });
});

function lockOf(cache: SharedLruCache): { words: Int32Array; lockAt: number } {
  return { words: new Int32Array(cache.memory), lockAt: layoutOf(cache.memory).shardAt + Control.LOCK };
}
