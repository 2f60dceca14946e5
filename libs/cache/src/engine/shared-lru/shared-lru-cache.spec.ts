import { randomUUID } from 'node:crypto';
import { threadId } from 'node:worker_threads';
import { FakeClock } from '@diptych/kernel/testing';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { NumberCache } from '../../../test/bounded-cache.cases.js';
import { behavesAsBoundedCache, bytesOf, CAPACITY_MAX, UNIT_BYTES } from '../../../test/bounded-cache.cases.js';
import { problemsOf } from '../../../test/soak/soundness.js';
import { Head } from './layout.js';
import { Shards } from './shards.js';
import { SharedLruCache } from './shared-lru-cache.js';

const seed = seedFromEnv();

behavesAsBoundedCache('SharedLruCache with one shard', ({ capacity, bytesMax, onEvict, ...options }) => {
  const cache = SharedLruCache.create({
    ...options,
    capacity: CAPACITY_MAX,
    bytesMax: CAPACITY_MAX * UNIT_BYTES,
    blockBytes: UNIT_BYTES,
    shards: 1,
    onEvict: (key, value, reason) => onEvict(Number(key), value && Buffer.from(value).readInt32LE(0), reason),
  });
  cache.resize(capacity, bytesMax);
  return overNumbers(cache);
});

describe('SharedLruCache', () => {
  it('answers as an ordered list would, over keys and values of any size, and never exceeds a bound', () => {
    const key = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 3 }),
      fc.string({ maxLength: 80 }),
      fc.string({ unit: 'grapheme', maxLength: 80 }),
    );
    const value = fc.uint8Array({ maxLength: 300 });
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), key, value }),
      fc.record({ do: fc.constantFrom('get' as const, 'remove' as const, 'peek' as const), key }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const blockBytes = 64;
        const blocks = 12;
        const cache = SharedLruCache.create({ capacity: 6, bytesMax: blocks * blockBytes, shards: 1, blockBytes });
        const blocksOf = (key: string, value: Uint8Array) =>
          Math.ceil((Math.ceil(keyBytesOf(key) / 8) * 8 + value.byteLength) / blockBytes) || 1;
        let model: Array<[string, Uint8Array]> = [];
        const used = () => model.reduce((sum, [key, value]) => sum + blocksOf(key, value), 0);
        for (const step of steps) {
          const found = model.find(([key]) => key === step.key);
          if (step.do === 'add') {
            model = model.filter((pair) => pair !== found);
            const need = blocksOf(step.key, step.value);
            let evicted = need > blocks;
            if (need <= blocks) {
              // As in the cache: an entry that takes as many blocks as before is written over in its place.
              for (; model.length >= 6 || used() + need > blocks; evicted = true) model.shift();
              model.push([step.key, step.value]);
            }
            expect(cache.add(step.key, step.value)).toBe(evicted);
          } else if (step.do === 'remove') {
            model = model.filter((pair) => pair !== found);
            expect(cache.remove(step.key)).toBe(found !== undefined);
          } else {
            const answer = cache[step.do](step.key);
            expect(answer && [...answer]).toEqual(found && [...found[1]]);
            if (step.do === 'get' && found) model = [...model.filter((pair) => pair !== found), found];
          }
          expect(cache.keys()).toEqual(model.map(([key]) => key));
          expect([cache.length, cache.bytes]).toEqual([model.length, used() * blockBytes]);
        }
        expect(problemsOf(cache.memory)).toEqual([]);
      }),
      { seed },
    );
  });

  it('lets an entry expire whatever blocks it lies in, also where there are many more of them than entries', () => {
    const clock = new FakeClock();
    const cache = SharedLruCache.create({ capacity: 3, bytesMax: 30 * 64, shards: 1, blockBytes: 64, clock });
    const value = new Uint8Array(9 * 64);
    for (const [key, ttlMs] of [
      ['a', 10],
      ['b', undefined],
      ['c', 20],
    ] as const)
      cache.add(key, value, ttlMs);
    clock.advance(11);
    expect([cache.keys(), cache.get('a'), cache.length]).toEqual([['b', 'c'], undefined, 2]);
    // What it lay in is somebody else's, who stays.
    cache.add('d', value);
    clock.advance(10);
    expect(cache.keys()).toEqual(['b', 'd']);
    expect(problemsOf(cache.memory)).toEqual([]);
  });

  it('gives copies: neither what was put in nor what was got out is the memory itself', () => {
    const cache = SharedLruCache.create({ capacity: 64, bytesMax: 64 * 320 });
    const value = new Uint8Array([1, 2, 3]);
    cache.add('k', value);
    value[0] = 9;
    cache.get('k')![1] = 9;
    expect([...cache.get('k')!]).toEqual([1, 2, 3]);
  });

  it('gives a copy of its own of a value of any size; nobody can send away the memory that small ones share', () => {
    const cache = SharedLruCache.create({ capacity: 64, bytesMax: 1_000_000, shards: 1 });
    const sizes = [0, 1, 300, 511, 512, 513, 4_000, 4_096, 4_097, 8_191, 8_192, 8_193, 100_000, 3];
    for (const size of sizes) cache.add(`${size}`, new Uint8Array(size).fill(size));
    const copies = sizes.map((size) => cache.get(`${size}`)!);
    expect(() => structuredClone(copies[1], { transfer: [copies[1]!.buffer as ArrayBuffer] })).toThrow();
    for (const [i, size] of sizes.entries()) expect(copies[i]!.equals(new Uint8Array(size).fill(size))).toBe(true);
    expect(cache.counts).toMatchObject({ hits: sizes.length, misses: 0 });
  });

  it('takes memory once for a large value, as much as it has, which can be sent away; small ones between them go on with their pool', () => {
    const cache = SharedLruCache.create({ capacity: 64, bytesMax: 1_000_000, shards: 1 });
    const sizes = [4_097, 8_000, 8_193, 100_000];
    for (const size of [3, ...sizes]) cache.add(`${size}`, new Uint8Array(size).fill(size));
    cache.get('3');
    const allocation = vi.spyOn(Buffer, 'allocUnsafeSlow');
    const copies = sizes.map((size) => (cache.get('3'), cache.get(`${size}`)!));
    const taken = allocation.mock.calls.map(([bytes]) => bytes);
    allocation.mockRestore();
    expect(taken).toEqual(sizes);
    for (const [i, copy] of copies.entries()) {
      const memory = copy.buffer as ArrayBuffer;
      expect(memory.byteLength).toBe(sizes[i]);
      expect(structuredClone(copy, { transfer: [memory] })).toEqual(new Uint8Array(sizes[i]!).fill(sizes[i]!));
      expect(memory.detached).toBe(true);
    }
  });

  it('holds as much of a value as it had when it was given, though another thread makes its memory grow', () => {
    const cache = SharedLruCache.create({ capacity: 4, bytesMax: 4 * 320, shards: 1 });
    const memory = new SharedArrayBuffer(8, { maxByteLength: 4_000 });
    const value = new Uint8Array(memory).fill(7);
    for (const key of ['a', 'b', 'c']) cache.add(key, new Uint8Array(300).fill(1));
    const load = Atomics.load.bind(Atomics) as (words: Int32Array, at: number) => number;
    // In the middle of the change, once it has been seen how much room it takes.
    const grown = vi.spyOn(Atomics, 'load').mockImplementation(((words: Int32Array, at: number) => {
      if (at === Head.BLOCKS_PER_SHARD) memory.grow(4_000);
      return load(words, at);
    }) as never);
    cache.add('k', value);
    grown.mockRestore();
    expect([value.byteLength, [...cache.get('k')!], problemsOf(cache.memory)]).toEqual([4_000, Array<number>(8).fill(7), []]);
    for (const key of ['a', 'b', 'c']) expect([...cache.get(key)!]).toEqual(Array<number>(300).fill(1));
  });

  it('deals its capacity out to the shards exactly', () => {
    const cache = SharedLruCache.create({ capacity: 103, bytesMax: 10_000 * 64, blockBytes: 64, shards: 8 });
    for (let i = 0; i < 5_000; i++) {
      cache.add(randomUUID(), new Uint8Array(8));
      expect(cache.length).toBeLessThanOrEqual(103);
    }
    expect(cache.length).toBe(103);
  });

  it('does not hold a value above its limit, and forgets what that was to replace', () => {
    const cache = SharedLruCache.create({ capacity: 4, bytesMax: 4 * 320, shards: 1, valueBytesMax: 100 });
    cache.add('k', new Uint8Array(100));
    expect(cache.add('k', new Uint8Array(101))).toBe(true);
    expect([cache.contains('k'), cache.length, cache.bytes]).toEqual([false, 0, 0]);
  });

  it('refuses a fill that is older than what invalidated the key, also after it was purged', () => {
    const cache = SharedLruCache.create({ capacity: 64, bytesMax: 64 * 320 });
    expect(cache.fill('k', new Uint8Array(1), 5)).toBe(true);
    cache.invalidate('k', 7);
    expect(cache.contains('k')).toBe(false);
    expect(cache.fill('k', new Uint8Array(1), 6)).toBe(false);
    cache.purge();
    expect(cache.fill('k', new Uint8Array(1), 6)).toBe(false);
    expect(cache.fill('k', new Uint8Array(1), 7)).toBe(true);
  });

  it('stores by the bound that it began with when another thread lowers that meanwhile', () => {
    const cache = SharedLruCache.create({ capacity: 64, bytesMax: 64 * 320, shards: 1 });
    const value = new Uint8Array(40 * 320).fill(7);
    cache.add('old', value);
    const [load, evict] = [Atomics.load, Shards.prototype.evictOldest];
    const lowering = vi.spyOn(Atomics, 'load').mockImplementation(((words: Int32Array, at: number) => {
      const read = load(words, at);
      if (words.buffer === cache.memory && at === Head.BLOCKS_PER_SHARD) Atomics.store(words, at, 10);
      return read;
    }) as never);
    vi.spyOn(Shards.prototype, 'evictOldest').mockImplementation(function (this: Shards, shardAt, gone) {
      if (this.oldest(shardAt) === 0) throw new Error('there is nothing left to evict');
      return evict.call(this, shardAt, gone);
    });
    try {
      expect(cache.add('new', value)).toBe(true);
      expect(lowering).toHaveBeenCalled();
    } finally {
      vi.restoreAllMocks();
    }
    expect(cache.get('new')).toEqual(Buffer.from(value));
    expect(problemsOf(cache.memory)).toEqual([]);
  });

  it('says clearly what memory and which bounds it cannot use', () => {
    expect(() => SharedLruCache.attach(new SharedArrayBuffer(8))).toThrow(/no SharedLruCache/);
    expect(() => SharedLruCache.create({ capacity: 10, bytesMax: 1_000_000 })).toThrow(/10 entries in 64 shards/);
    expect(() => SharedLruCache.create({ capacity: 100, bytesMax: 1_000 })).toThrow(/block of 320 bytes/);
    expect(() => SharedLruCache.create({ capacity: 1.5, bytesMax: 1_000 })).toThrow(/whole number/);
    expect(() => SharedLruCache.create({ capacity: 64, bytesMax: 64 * 320, valueBytesMax: 2 ** 31 })).toThrow(
      /valueBytesMax must be 2147483647 or less/,
    );
    const cache = SharedLruCache.create({ capacity: 64, bytesMax: 64 * 320 });
    expect(() => cache.resize(65)).toThrow(/from 64 .* to 64/);
    expect(() => cache.resize(64, 64 * 320 + 1)).toThrow(/from 20480 .* to 20480/);
    const growing = new SharedArrayBuffer(cache.memory.byteLength, { maxByteLength: 2 * cache.memory.byteLength });
    new Uint8Array(growing).set(new Uint8Array(cache.memory));
    expect(() => SharedLruCache.attach(growing)).toThrow(/this memory can grow/);
  });

  it('refuses what it cannot do before it has taken or changed anything', () => {
    const cache = SharedLruCache.create({ capacity: 64, bytesMax: 64 * 320 });
    cache.add('k', new Uint8Array(1));
    const before = Buffer.from(new Uint8Array(cache.memory));
    for (const ttlMs of [0, NaN]) expect(() => SharedLruCache.attach(cache.memory, { ttlMs })).toThrow(/ttlMs must be above 0/);
    for (const lockTimeoutMs of [-1, NaN, Infinity])
      expect(() => SharedLruCache.attach(cache.memory, { lockTimeoutMs })).toThrow(/lockTimeoutMs must be/);
    for (const revision of [-1, 0.5, NaN, Infinity]) {
      expect(() => cache.fill('k', new Uint8Array(2), revision)).toThrow(/revision must be a whole number/);
      expect(() => cache.invalidate('k', revision)).toThrow(/revision must be a whole number/);
      expect(() => cache.threadExited(threadId, revision)).toThrow(/revision must be a whole number/);
    }
    expect(() => cache.add('k', new Uint8Array(2), 0)).toThrow(/ttlMs must be above 0/);
    expect(() => cache.resize(1.5)).toThrow(/capacity must be/);
    expect(before.equals(new Uint8Array(cache.memory))).toBe(true);
  });
});

/** ASCII takes a byte a character, everything else UTF-16. */
function keyBytesOf(key: string): number {
  return Buffer.byteLength(key) === key.length ? key.length : key.length * 2;
}

/** Keys and values that weigh what `bytesOf` says: a block of 64 bytes has 8 for the key, and the rest for the value. */
function overNumbers(cache: SharedLruCache): NumberCache {
  const valueOf = (value: number | null) => {
    if (value === null) return null;
    const bytes = Buffer.alloc(bytesOf(value) - 8);
    bytes.writeInt32LE(value);
    return bytes;
  };
  const looks = (look: 'get' | 'peek') => (key: number) => numberOf(cache[look](String(key)));
  const numbers: Omit<NumberCache, 'length' | 'capacity' | 'bytes' | 'bytesMax' | 'evictions'> = {
    add: (key, value, ttlMs) => cache.add(String(key), valueOf(value), ttlMs),
    get: looks('get'),
    peek: looks('peek'),
    contains: (key) => cache.contains(String(key)),
    remove: (key) => cache.remove(String(key)),
    keys: () => cache.keys().map(Number),
    purge: () => cache.purge(),
    resize: (capacity, bytesMax) => cache.resize(capacity, bytesMax),
  };
  return new Proxy(numbers, {
    get: (target, name) => Reflect.get(name in target ? target : cache, name) as unknown,
  }) as NumberCache;
}

function numberOf(bytes: Buffer | null | undefined): number | null | undefined {
  return bytes && bytes.readInt32LE(0);
}
