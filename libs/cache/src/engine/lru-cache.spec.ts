import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { behavesAsSimplelru } from '../../test/simplelru.cases.js';
import { LruCache } from './lru-cache.js';
import type { EvictReason } from './evictions.js';

behavesAsSimplelru('LruCache', (capacity, onEvict) => new LruCache<number, number>({ capacity, onEvict }));

describe('LruCache by bytes', () => {
  const create = (bytesMax: number, capacity = 100) => {
    const left: Array<[string, EvictReason]> = [];
    const cache = new LruCache<string, string>({
      capacity,
      bytesMax,
      sizeOf: (value, key) => key.length + value.length,
      onEvict: (key, _value, reason) => void left.push([key, reason]),
    });
    return { cache, left };
  };

  it('evicts the oldest until the new value fits', () => {
    const { cache, left } = create(10);
    cache.add('a', '1234');
    cache.add('b', '1234');
    expect([cache.bytes, cache.bytesMax]).toEqual([10, 10]);
    expect(cache.add('c', '123456')).toBe(true);
    expect([cache.keys(), cache.bytes, left]).toEqual([
      ['c'],
      7,
      [
        ['a', 'evicted'],
        ['b', 'evicted'],
      ],
    ]);
  });

  it('does not keep a value over the bound, nor the one it was to replace, and leaves the others alone', () => {
    const { cache, left } = create(10);
    cache.add('a', '1');
    cache.add('b', '1');
    expect(cache.add('a', '1234567890')).toBe(true);
    expect([cache.keys(), cache.bytes, left, cache.evictions]).toEqual([['b'], 2, [['a', 'evicted']], 1]);
    expect(cache.add('a', '1')).toBe(false);
  });

  it('resize by bytes evicts the oldest', () => {
    const { cache } = create(10);
    cache.add('a', '1234');
    cache.add('b', '1234');
    expect([cache.resize(100, 5), cache.keys(), cache.bytesMax]).toEqual([1, ['b'], 5]);
    expect([cache.resize(50), cache.bytesMax, cache.capacity]).toEqual([0, 5, 50]);
  });

  it.each([
    [{ capacity: 0 }, /capacity must be/],
    [{ capacity: 1.5 }, /capacity must be/],
    [{ capacity: 1, bytesMax: 0, sizeOf: () => 1 }, /bytesMax must be/],
    [{ capacity: 1, bytesMax: 1 }, /bytesMax needs sizeOf/],
  ])('refuses the bounds %j', (options, message) => {
    expect(() => new LruCache(options)).toThrow(message);
  });
});

describe('the eviction callback of LruCache', () => {
  it('runs after the change and may use the cache', () => {
    const spilled = new Map<string, number>();
    const cache: LruCache<string, number> = new LruCache({
      capacity: 2,
      onEvict: (key, value) => {
        expect(cache.contains(key)).toBe(false);
        spilled.set(key, value);
        if (key !== 'a') return;
        expect(cache.length).toBe(2);
        cache.remove('b');
      },
    });
    for (const [i, key] of ['a', 'b', 'c'].entries()) cache.add(key, i);
    expect([cache.keys(), spilled.get('a')]).toEqual([['c'], 0]);
  });

  it('that throws leaves the cache sound and the others told', () => {
    const left: number[] = [];
    const cache = new LruCache<number, number>({
      capacity: 3,
      onEvict: (key) => {
        left.push(key);
        if (key === 0) throw new Error('disk full');
      },
    });
    for (let i = 0; i < 3; i++) cache.add(i, i);
    expect(() => cache.resize(1)).toThrow('disk full');
    expect([left, cache.keys(), cache.capacity]).toEqual([[0, 1], [2], 1]);
  });
});

describe('LruCache against a model', () => {
  const key = fc.integer({ min: 0, max: 12 });
  const operation = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('add' as const), key, size: fc.integer({ min: 1, max: 45 }) }) },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constantFrom('get' as const, 'contains' as const, 'remove' as const), key, size: fc.constant(0) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('purge' as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('resize' as const),
        capacity: fc.integer({ min: 1, max: 8 }),
        bytesMax: fc.integer({ min: 1, max: 60 }),
      }),
    },
  );

  it('answers as an ordered list would, and never exceeds a bound', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 60 }), fc.array(operation, { maxLength: 60 }), (c, b, ops) => {
        let [capacity, bytesMax] = [c, b];
        let model: Array<{ key: number; size: number }> = [];
        let [gone, expectedGone] = [0, 0];
        const cache = new LruCache<number, { size: number }>({
          capacity,
          bytesMax,
          sizeOf: (value) => value.size,
          onEvict: () => void gone++,
        });
        const bytes = () => model.reduce((sum, { size }) => sum + size, 0);
        const shrink = () => {
          let evicted = 0;
          for (; model.length > capacity || bytes() > bytesMax; evicted++) model.shift();
          expectedGone += evicted;
          return evicted;
        };
        for (const op of ops) {
          if (op.kind === 'purge') {
            cache.purge();
            expectedGone += model.length;
            model = [];
          } else if (op.kind === 'resize') {
            ({ capacity, bytesMax } = op);
            expect(cache.resize(capacity, bytesMax)).toBe(shrink());
          } else {
            const held = model.find((entry) => entry.key === op.key);
            if (op.kind === 'contains') {
              expect(cache.contains(op.key)).toBe(held !== undefined);
            } else {
              model = model.filter((entry) => entry !== held);
              if (op.kind === 'get') {
                expect(cache.get(op.key)?.size).toBe(held?.size);
                if (held) model.push(held);
              } else if (op.kind === 'remove') {
                expect(cache.remove(op.key)).toBe(held !== undefined);
                if (held) expectedGone++;
              } else if (op.size > bytesMax) {
                expectedGone++;
                expect(cache.add(op.key, { size: op.size })).toBe(true);
              } else {
                model.push({ key: op.key, size: op.size });
                expect(cache.add(op.key, { size: op.size })).toBe(shrink() > 0);
              }
            }
          }
          expect(cache.keys()).toEqual(model.map((entry) => entry.key));
          expect([cache.length, cache.bytes, gone]).toEqual([model.length, bytes(), expectedGone]);
          expect(cache.length).toBeLessThanOrEqual(capacity);
          expect(cache.bytes).toBeLessThanOrEqual(bytesMax);
        }
      }),
      { numRuns: 2_000, seed: seedFromEnv() },
    );
  });
});
