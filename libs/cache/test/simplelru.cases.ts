import { describe, expect, it } from 'vitest';

/** What the cases need of a cache of numbers by number. */
export interface NumberCache {
  readonly length: number;
  readonly capacity: number;
  add(key: number, value: number): boolean;
  get(key: number): number | undefined;
  peek(key: number): number | undefined;
  contains(key: number): boolean;
  remove(key: number): boolean;
  keys(): number[];
  purge(): void;
  resize(capacity: number): number;
}

/** Facts about the behaviour of Go's simplelru (hashicorp/golang-lru), as its public tests show it, for any cache of the project. */
export function behavesAsSimplelru(name: string, create: (capacity: number, onEvict: (key: number) => void) => NumberCache): void {
  describe(`${name} behaves as simplelru does`, () => {
    const counted = (capacity: number) => {
      const left: number[] = [];
      return { left, cache: create(capacity, (key) => void left.push(key)) };
    };
    const fill = (cache: NumberCache, from: number, to: number) => {
      for (let i = from; i < to; i++) cache.add(i, i);
    };

    it('keeps the newest 128 of 256, reports each it evicts, and lists keys oldest first', () => {
      const { cache, left } = counted(128);
      fill(cache, 0, 256);
      expect([cache.length, cache.capacity]).toEqual([128, 128]);
      expect(left).toEqual(Array.from({ length: 128 }, (_, i) => i));
      expect(cache.keys()).toEqual(Array.from({ length: 128 }, (_, i) => i + 128));
      for (let i = 0; i < 128; i++) expect(cache.get(i)).toBeUndefined();
      for (let i = 128; i < 256; i++) expect(cache.get(i)).toBe(i);
    });

    it('remove says whether the key was there, and reports it', () => {
      const { cache, left } = counted(128);
      fill(cache, 0, 128);
      for (let i = 0; i < 64; i++) {
        expect(cache.remove(i)).toBe(true);
        expect(cache.remove(i)).toBe(false);
        expect(cache.get(i)).toBeUndefined();
      }
      expect(left).toHaveLength(64);
      cache.get(64);
      expect(cache.keys()).toEqual([...Array.from({ length: 63 }, (_, i) => i + 65), 64]);
    });

    it('purge forgets all and reports each', () => {
      const { cache, left } = counted(3);
      fill(cache, 0, 3);
      cache.purge();
      expect([cache.length, cache.get(1), left]).toEqual([0, undefined, [0, 1, 2]]);
      cache.purge();
      expect(left).toHaveLength(3);
    });

    it('add says whether it evicted', () => {
      const { cache, left } = counted(1);
      expect([cache.add(1, 1), left.length]).toEqual([false, 0]);
      expect([cache.add(2, 2), left.length]).toEqual([true, 1]);
    });

    it('add of a held key evicts nothing, reports nothing, and makes it the newest', () => {
      const { cache, left } = counted(2);
      expect([cache.add(1, 1), cache.add(2, 2), cache.add(1, 3)]).toEqual([false, false, false]);
      expect(cache.keys()).toEqual([2, 1]);
      expect(cache.add(3, 3)).toBe(true);
      expect([cache.keys(), left, cache.get(1)]).toEqual([[1, 3], [2], 3]);
    });

    it.each(['contains', 'peek'] as const)('%s does not touch recency', (look) => {
      const { cache } = counted(2);
      fill(cache, 1, 3);
      expect(cache[look](1)).toBeTruthy();
      cache.add(3, 3);
      expect(cache.contains(1)).toBe(false);
    });

    it('resize down evicts the oldest and says how many; up evicts nothing', () => {
      const { cache, left } = counted(2);
      fill(cache, 1, 3);
      expect([cache.resize(1), left]).toEqual([1, [1]]);
      cache.add(3, 3);
      expect(cache.keys()).toEqual([3]);
      expect(cache.resize(2)).toBe(0);
      expect(cache.add(4, 4)).toBe(false);
      expect(cache.keys()).toEqual([3, 4]);
    });
  });
}
