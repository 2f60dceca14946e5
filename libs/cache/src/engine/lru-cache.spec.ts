import { describe, expect, it } from 'vitest';
import { behavesAsBoundedCache, bytesOf } from '../../test/bounded-cache.cases.js';
import { LruCache } from './lru-cache.js';

behavesAsBoundedCache('LruCache', (options) => new LruCache<number, number | null>({ ...options, sizeOf: bytesOf }));

it.each([
  [{ capacity: 0 }, /capacity must be/],
  [{ capacity: 1.5 }, /capacity must be/],
  [{ capacity: 1, bytesMax: 0, sizeOf: () => 1 }, /bytesMax must be/],
  [{ capacity: 1, bytesMax: 1 }, /bytesMax needs sizeOf/],
])('LruCache refuses the bounds %j', (options, message) => {
  expect(() => new LruCache(options)).toThrow(message);
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
