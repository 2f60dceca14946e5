import { threadId } from 'node:worker_threads';
import { FakeClock } from '@diptych/kernel/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { problemsOf } from '../../../test/soak/soundness.js';
import { Blocks } from './blocks.js';
import { Control, Head, layoutOf } from './layout.js';
import type { SharedLruCacheListener } from './options.js';
import { Shards } from './shards.js';
import { SharedLruCache } from './shared-lru-cache.js';

/*
 * Claim: whatever happens under a lock, or to its holder, the shard goes on, is sound, and shows nothing that should be gone.
 */
const ONE_SHARD = { capacity: 8, bytesMax: 8 * 320, shards: 1, lockTimeoutMs: 5 };
const BYTE = new Uint8Array(1);

afterEach(() => void vi.restoreAllMocks());

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
      if (at !== lockAt) return exchange(words, at, from, to);
      vi.restoreAllMocks();
      Atomics.store(words, lockAt, 9);
      words[Head.SEATS + 4] = 2_000 + 1;
      return exchange(words, at, from, to);
    };
    vi.spyOn(Atomics, 'compareExchange').mockImplementation(quicker as never);
    expect(cache.threadExited(1_000)).toBe(0);
    expect([words[lockAt], words[Head.SEATS + 4]]).toEqual([9, 2_001]);
  });

  it('that was taken over is let go of, should the emptying throw: it is done by the next who comes, watermarks too', () => {
    const cache = SharedLruCache.create(ONE_SHARD);
    const other = SharedLruCache.attach(cache.memory, { lockTimeoutMs: 5 });
    for (const key of ['a', 'b']) cache.add(key, BYTE);
    const { words, lockAt } = lockOf(cache);
    words[Head.SEATS + 4] = 1_000 + 1;
    Atomics.store(words, lockAt, 5);
    const exchange = Atomics.compareExchange.bind(Atomics) as (words: Int32Array, at: number, from: number, to: number) => number;
    const dooming = vi
      .spyOn(Atomics, 'compareExchange')
      .mockImplementation(((words: Int32Array, at: number, from: number, to: number) =>
        at === lockAt ? exchange(words, at, from, to) : stackIsFull()) as never);
    expect(() => cache.threadExited(1_000, 7)).toThrow('call stack');
    dooming.mockRestore();
    expect(words[lockAt], 'not taken over before it is known what to do').toBe(5);
    const full = vi.spyOn(Shards.prototype, 'empty').mockImplementation(stackIsFull);
    expect(() => cache.threadExited(1_000, 7)).toThrow('call stack');
    expect(() => other.get('a')).toThrow('call stack');
    full.mockRestore();
    expect([words[lockAt], other.get('a'), other.length, other.counts.emptied, other.counts.timedOut]).toEqual([0, undefined, 0, 1, 0]);
    expect([other.fill('b', BYTE, 6), other.fill('b', BYTE, 7)]).toEqual([false, true]);
    expect([cache.threadExited(1_000, 7), words[Head.SEATS + 4], problemsOf(cache.memory)]).toEqual([0, 0, []]);
  });

  it('is not had any more by who has said that it uses the cache no more, however often it says so; from then on it changes nothing', () => {
    const cache = SharedLruCache.create(ONE_SHARD);
    const first = SharedLruCache.attach(cache.memory);
    first.add('k', BYTE);
    first[Symbol.dispose]();
    using second = SharedLruCache.attach(cache.memory);
    first[Symbol.dispose]();
    const seats = new Int32Array(cache.memory, Head.SEATS * 4, 3);
    expect([...seats]).toEqual([threadId + 1, threadId + 1, 0]);
    const before = Buffer.from(new Uint8Array(cache.memory));
    expect([first.get('k'), first.peek('k'), first.contains('k'), first.keys(), first.watermark('k')]).toEqual([
      undefined,
      undefined,
      false,
      [],
      Infinity,
    ]);
    expect([first.fill('k', BYTE, 9), first.fill('k', BYTE, 9, 5), first.threadExited(threadId, 9)]).toEqual([false, false, 0]);
    for (const change of [
      () => first.add('k', BYTE),
      () => first.add('k', BYTE, 5),
      () => first.remove('k'),
      () => first.invalidate('k', 9),
      () => first.purge(),
      () => first.resize(4),
    ])
      expect(change).toThrow(/disposed of the cache/);
    expect(before.equals(new Uint8Array(cache.memory)), 'not a byte of the memory').toBe(true);
    expect(second.contains('k')).toBe(true);
  });

  it('is never held for longer than 256 entries by what changes all, and others who add meanwhile do not keep that from ending', () => {
    const left: string[] = [];
    const cache = SharedLruCache.create({
      capacity: 1_000,
      bytesMax: 1_000 * 64,
      blockBytes: 64,
      shards: 1,
      onEvict: (key) => left.push(key),
    });
    const other = SharedLruCache.attach(cache.memory);
    const refill = () => Array.from({ length: 1_000 }, (_, i) => cache.add(`${i}`, BYTE));
    /** How many are left each time the lock is let go of, before others have their turn. */
    const lengthsOf = (act: () => unknown, others: () => unknown = () => undefined) => {
      const lengths: number[] = [];
      const release = Atomics.exchange.bind(Atomics) as (words: Int32Array, at: number, to: number) => number;
      let isTheirs = false;
      const spy = vi.spyOn(Atomics, 'exchange').mockImplementation(((words: Int32Array, at: number, to: number) => {
        const word = release(words, at, to);
        if (isTheirs) return word;
        lengths.push(cache.length);
        isTheirs = true;
        others();
        isTheirs = false;
        return word;
      }) as never);
      act();
      spy.mockRestore();
      return lengths;
    };
    refill();
    expect(lengthsOf(() => cache.resize(100))).toEqual([744, 488, 232, 100]);
    cache.resize(1_000);
    refill();
    left.length = 0;
    expect(lengthsOf(() => cache.purge())).toEqual([744, 488, 232, 0]);
    expect(left).toEqual(Array.from({ length: 1_000 }, (_, i) => `${i}`));
    refill();
    let late = 0;
    const addMany = () => Array.from({ length: 256 }, () => other.add(`late ${late++}`, BYTE));
    expect(lengthsOf(() => cache.purge(), addMany)).toEqual([744, 744, 744, 744, 0]);
    expect([cache.length, problemsOf(cache.memory)]).toEqual([256, []]);
  });
});

describe('what throws under a lock of SharedLruCache', () => {
  function open(listener: SharedLruCacheListener = {}) {
    const cache = SharedLruCache.create({ ...ONE_SHARD, ...listener });
    const other = SharedLruCache.attach(cache.memory, { ...listener, lockTimeoutMs: 5 });
    cache.invalidate('k', 7);
    for (let i = 0; i < 8; i++) cache.add(`${i}`, new Uint8Array(100));
    const isSound = () => {
      const { length, capacity } = other;
      expect(other.add('new', BYTE), 'it pushes something out if the shard is full').toBe(length === capacity);
      expect([other.length, other.contains('new'), other.counts.timedOut]).toEqual([Math.min(length + 1, capacity), true, 0]);
      expect(problemsOf(cache.memory)).toEqual([]);
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

  it.each([
    ['get', Blocks.prototype, 'readValue', (cache: SharedLruCache) => cache.get('3')],
    ['peek', Blocks.prototype, 'readValue', (cache: SharedLruCache) => cache.peek('3')],
    ['contains', Shards.prototype, 'find', (cache: SharedLruCache) => cache.contains('3')],
    ['watermark', Shards.prototype, 'watermark', (cache: SharedLruCache) => cache.watermark('3')],
    ['keys', Blocks.prototype, 'keyOf', (cache: SharedLruCache) => cache.keys()],
  ])('leaves the lock free and the shard as it was, when it was only read: %s', (_, read, part, look) => {
    const { cache, other, isSound } = open();
    vi.spyOn(read as unknown as Record<string, () => never>, part).mockImplementation(stackIsFull);
    expect(() => look(cache)).toThrow('call stack');
    vi.restoreAllMocks();
    expect([other.keys(), other.counts.emptied]).toEqual([['0', '1', '2', '3', '4', '5', '6', '7'], 0]);
    isSound();
  });

  it('leaves an entry that has expired to the next look-up, when there is no memory for the copy of it', () => {
    const clock = new FakeClock();
    const left: string[] = [];
    const { cache, other, isSound } = open({ clock, onEvict: (key, _, reason) => left.push(`${key} ${reason}`) });
    cache.add('3', BYTE, 10);
    clock.advance(11);
    vi.spyOn(Buffer, 'allocUnsafe').mockImplementation(noMemory);
    expect(() => cache.get('3')).toThrow('allocation failed');
    vi.restoreAllMocks();
    expect([other.length, other.counts.emptied, other.counts.misses, left]).toEqual([8, 0, 0, []]);
    expect([cache.get('3'), left, other.length]).toEqual([undefined, ['3 expired'], 7]);
    isSound();
  });

  it('leaves the shard empty, when a look-up was making its entry the most recently used', () => {
    const { cache, other, isSound } = open();
    vi.spyOn(Shards.prototype, 'touch').mockImplementation(stackIsFull);
    expect(() => cache.get('3')).toThrow('call stack');
    vi.restoreAllMocks();
    expect([other.length, other.counts.emptied]).toEqual([0, 1]);
    isSound();
  });

  it('leaves nothing to be seen or filled that was to be invalidated', () => {
    const { cache, other } = open();
    vi.spyOn(Shards.prototype, 'raiseWatermark').mockImplementation(stackIsFull);
    expect(() => cache.invalidate('3', 9)).toThrow('call stack');
    vi.restoreAllMocks();
    expect([other.get('3'), other.fill('3', BYTE, 8), other.fill('3', BYTE, 9)]).toEqual([undefined, false, true]);
    expect(problemsOf(cache.memory)).toEqual([]);
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
    const { cache, other, isSound } = open();
    const full = vi.spyOn(Atomics, 'exchange').mockImplementation(stackIsFull);
    expect(() => cache.get('3')).toThrow('call stack');
    full.mockRestore();
    expect([other.get('3'), other.counts.timedOut]).toEqual([undefined, 1]);
    expect([cache.get('3')?.length, other.get('3')?.length, cache.counts.emptied, cache.counts.timedOut]).toEqual([100, 100, 0, 1]);
    new Int32Array(cache.memory)[layoutOf(cache.memory).shardAt + Control.TIMED_OUT] = 0;
    isSound();
  });

  it('and by the next who enters, where not even the shard could be emptied', () => {
    const { cache, other, isSound } = open();
    vi.spyOn(Shards.prototype, 'touch').mockImplementation(stackIsFull);
    vi.spyOn(Shards.prototype, 'empty').mockImplementation(stackIsFull);
    expect(() => cache.get('3')).toThrow('call stack');
    vi.restoreAllMocks();
    expect([other.get('3'), other.counts.timedOut, other.counts.emptied]).toEqual([undefined, 0, 1]);
    isSound();
  });
});

function stackIsFull(): never {
  throw new RangeError('Maximum call stack size exceeded');
}

function lockOf(cache: SharedLruCache): { words: Int32Array; lockAt: number } {
  return { words: new Int32Array(cache.memory), lockAt: layoutOf(cache.memory).shardAt + Control.LOCK };
}
