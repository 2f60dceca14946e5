import { FakeClock } from '@diptych/kernel/testing';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BoundedCache, CacheClock } from '../src/engine/bounded-cache.js';
import type { EvictReason } from '../src/engine/evictions.js';

/** A cache of numbers, and of remembered absences, by numbers from 0 to 255. */
export type NumberCache = BoundedCache<number, number | null>;

export interface NumberCacheOptions {
  readonly capacity: number;
  readonly bytesMax: number;
  readonly clock: CacheClock;
  readonly ttlMs: number | undefined;
  readonly onEvict: (key: number, value: number | null, reason: EvictReason) => void;
}

/** What a number and its key weigh in the caches of these cases, in bytes: one unit for each thousand begun. An absence weighs one. */
export function bytesOf(value: number | null): number {
  return UNIT_BYTES * (Math.floor((value ?? 0) / 1_000) + 1);
}
export const UNIT_BYTES = 64;
export const CAPACITY_MAX = 256;

/** The suite of `BoundedCache`, over any cache of the project that holds up to 256 entries of one unit each. */
export function behavesAsBoundedCache(name: string, create: (options: NumberCacheOptions) => NumberCache): void {
  const open = (capacity: number, { units = CAPACITY_MAX, ttlMs }: { units?: number; ttlMs?: number } = {}) => {
    const clock = new FakeClock();
    const left: number[] = [];
    const values: Array<number | null> = [];
    const reasons: EvictReason[] = [];
    const cache = create({
      capacity,
      bytesMax: units * UNIT_BYTES,
      clock,
      ttlMs,
      onEvict: (key, value, reason) => {
        left.push(key);
        values.push(value);
        reasons.push(reason);
      },
    });
    return { cache, left, values, reasons, clock };
  };
  // Not the key itself, so that one is not taken for the other.
  const valueFor = (key: number) => key + 300;
  const fill = (cache: NumberCache, from: number, to: number) => {
    for (let i = from; i < to; i++) cache.add(i, valueFor(i));
  };

  // Facts about the behaviour of Go's simplelru (hashicorp/golang-lru), as its public tests show it.
  describe(`${name} behaves as simplelru does`, () => {
    it('keeps the newest 128 of 256, reports each it evicts, and lists keys oldest first', () => {
      const { cache, left, values } = open(128);
      fill(cache, 0, 256);
      expect([cache.length, cache.capacity]).toEqual([128, 128]);
      expect(left).toEqual(Array.from({ length: 128 }, (_, i) => i));
      expect(values).toEqual(left.map(valueFor));
      expect(cache.keys()).toEqual(Array.from({ length: 128 }, (_, i) => i + 128));
      for (let i = 0; i < 128; i++) expect(cache.get(i)).toBeUndefined();
      for (let i = 128; i < 256; i++) expect(cache.get(i)).toBe(valueFor(i));
    });

    it('remove says whether the key was there, and reports it', () => {
      const { cache, left, values } = open(128);
      fill(cache, 0, 128);
      for (let i = 0; i < 64; i++) {
        expect(cache.remove(i)).toBe(true);
        expect(cache.remove(i)).toBe(false);
        expect(cache.get(i)).toBeUndefined();
      }
      expect(left).toHaveLength(64);
      expect(values).toEqual(left.map(valueFor));
      cache.get(64);
      expect(cache.keys()).toEqual([...Array.from({ length: 63 }, (_, i) => i + 65), 64]);
    });

    it('purge forgets all and reports each', () => {
      const { cache, left, values } = open(3);
      fill(cache, 0, 3);
      cache.purge();
      expect([cache.length, cache.get(1), left, values]).toEqual([0, undefined, [0, 1, 2], [0, 1, 2].map(valueFor)]);
      cache.purge();
      expect(left).toHaveLength(3);
    });

    it('add says whether it evicted', () => {
      const { cache, left } = open(1);
      expect([cache.add(1, 1), left.length]).toEqual([false, 0]);
      expect([cache.add(2, 2), left.length]).toEqual([true, 1]);
    });

    it('add of a held key evicts nothing, reports nothing, and makes it the newest', () => {
      const { cache, left, values } = open(2);
      expect([cache.add(1, 1), cache.add(2, 2), cache.add(1, 5)]).toEqual([false, false, false]);
      expect(cache.keys()).toEqual([2, 1]);
      expect(cache.add(3, 3)).toBe(true);
      expect([cache.keys(), left, values, cache.get(1)]).toEqual([[1, 3], [2], [2], 5]);
      cache.remove(1);
      expect(values, 'the value that it had last').toEqual([2, 5]);
    });

    it.each(['contains', 'peek'] as const)('%s does not touch recency', (look) => {
      const { cache } = open(2);
      fill(cache, 1, 3);
      expect(cache[look](1)).toBeTruthy();
      cache.add(3, 3);
      expect(cache.contains(1)).toBe(false);
    });

    it('resize down evicts the oldest and says how many; up evicts nothing', () => {
      const { cache, left, values } = open(2);
      fill(cache, 1, 3);
      expect([cache.resize(1), left, values]).toEqual([1, [1], [valueFor(1)]]);
      cache.add(3, 3);
      expect(cache.keys()).toEqual([3]);
      expect(cache.resize(2)).toBe(0);
      expect(cache.add(4, 4)).toBe(false);
      expect(cache.keys()).toEqual([3, 4]);
    });
  });

  describe(`${name} by bytes`, () => {
    it('evicts the oldest until the new value fits', () => {
      const { cache, left } = open(100, { units: 10 });
      cache.add(1, 4_000);
      cache.add(2, 4_000);
      expect([cache.bytes, cache.bytesMax]).toEqual([10 * UNIT_BYTES, 10 * UNIT_BYTES]);
      expect(cache.add(3, 6_000)).toBe(true);
      expect([cache.keys(), cache.bytes, left]).toEqual([[3], 7 * UNIT_BYTES, [1, 2]]);
    });

    it('does not keep a value over the bound, nor the one it was to replace, and leaves the others alone', () => {
      const { cache, left, reasons } = open(100, { units: 10 });
      cache.add(1, 1);
      cache.add(2, 1);
      expect(cache.add(1, 10_000)).toBe(true);
      expect([cache.keys(), cache.bytes, left, reasons, cache.evictions]).toEqual([[2], UNIT_BYTES, [1], ['evicted'], 1]);
      expect(cache.add(1, 1)).toBe(false);
    });

    it('resize by bytes evicts the oldest, and what it does not name stays', () => {
      const { cache } = open(100, { units: 10 });
      cache.add(1, 4_000);
      cache.add(2, 4_000);
      expect([cache.resize(100, 5 * UNIT_BYTES), cache.keys(), cache.bytesMax]).toEqual([1, [2], 5 * UNIT_BYTES]);
      expect([cache.resize(50), cache.bytesMax, cache.capacity]).toEqual([0, 5 * UNIT_BYTES, 50]);
    });
  });

  describe(`${name}: time to live`, () => {
    it('shows a value for as long as it may live, and then reports that it has expired', () => {
      const { cache, left, reasons, clock } = open(8, { ttlMs: 100 });
      cache.add(1, 1);
      cache.add(2, 2, 50);
      clock.advance(50);
      expect([cache.get(2), cache.keys()]).toEqual([2, [1, 2]]);
      clock.advance(1);
      expect([cache.contains(2), cache.peek(2), cache.keys(), cache.length, left]).toEqual([false, undefined, [1], 2, []]);
      expect([cache.get(2), cache.length, left, reasons, cache.evictions]).toEqual([undefined, 1, [2], ['expired'], 0]);
      clock.advance(50);
      expect([cache.remove(1), cache.length, reasons]).toEqual([false, 0, ['expired', 'expired']]);
    });

    it('begins anew when the key is added again, and only then', () => {
      const { cache, left, clock } = open(8, { ttlMs: 100 });
      cache.add(1, 1);
      cache.add(2, 2);
      clock.advance(60);
      cache.add(1, 1);
      expect(cache.get(2)).toBe(2);
      clock.advance(60);
      expect([cache.get(1), cache.get(2), left]).toEqual([1, undefined, [2]]);
    });

    it('survives a change of the bounds', () => {
      const { cache, clock } = open(8);
      cache.add(1, 1, 100);
      cache.add(2, 2);
      clock.advance(60);
      cache.resize(4);
      clock.advance(40);
      expect(cache.keys()).toEqual([1, 2]);
      clock.advance(1);
      expect(cache.keys()).toEqual([2]);
    });

    it.each([0, -1, NaN])('cannot be %d', (ttlMs) => {
      expect(() => open(1, { ttlMs })).toThrow(/ttlMs must be above 0/);
      const { cache } = open(1);
      expect(() => cache.add(1, 1, ttlMs)).toThrow(/ttlMs must be above 0/);
      expect(cache.length).toBe(0);
    });
  });

  it(`${name} remembers an absence as a value of its own, with a place in the order of use and a life of its own`, () => {
    const { cache, left, clock } = open(2);
    cache.add(1, null, 100);
    expect([cache.get(1), cache.peek(1), cache.contains(1), cache.get(2), cache.length, cache.bytes]).toEqual([
      null,
      null,
      true,
      undefined,
      1,
      UNIT_BYTES,
    ]);
    cache.add(2, 2);
    expect([cache.get(1), cache.add(3, 3), left]).toEqual([null, true, [2]]);
    clock.advance(101);
    expect(cache.get(1)).toBeUndefined();
    cache.add(3, null);
    expect(cache.get(3)).toBeNull();
    cache.add(3, 4);
    expect(cache.get(3)).toBe(4);
  });

  it(`${name} answers as an ordered list would, and never exceeds a bound`, () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 60 }), fc.array(step, { maxLength: 60 }), (c, units, steps) => {
        const { cache, left, values, reasons, clock } = open(c, { units });
        const model = new Model(c, units * UNIT_BYTES, clock);
        for (const step of steps) {
          if (step.do === 'wait') clock.advance(step.ms);
          else expect(apply(cache, step)).toEqual(apply(model, step));
          expect([cache.keys(), cache.length, cache.bytes, cache.evictions]).toEqual([
            model.keys(),
            model.length,
            model.bytes,
            model.evictions,
          ]);
          expect([left, values, reasons]).toEqual([model.left, model.values, model.reasons]);
          expect(cache.length).toBeLessThanOrEqual(cache.capacity);
          expect(cache.bytes).toBeLessThanOrEqual(cache.bytesMax);
        }
      }),
      { numRuns: 1_000, seed: seedFromEnv() },
    );
  });
}

const key = fc.integer({ min: 0, max: 12 });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      key,
      value: fc.option(fc.integer({ min: 0, max: 45_000 })),
      ttlMs: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('get' as const, 'contains' as const, 'peek' as const, 'remove' as const), key }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 10 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('resize' as const),
      capacity: fc.integer({ min: 1, max: 8 }),
      units: fc.integer({ min: 1, max: 60 }),
    }),
  },
);
type Step = Exclude<typeof step extends fc.Arbitrary<infer T> ? T : never, { do: 'wait' }>;

function apply(cache: NumberCache | Model, step: Step): unknown {
  if (step.do === 'add') return cache.add(step.key, step.value, step.ttlMs);
  if (step.do === 'purge') return cache.purge();
  if (step.do === 'resize') return cache.resize(step.capacity, step.units * UNIT_BYTES);
  return cache[step.do](step.key);
}

interface Held {
  readonly key: number;
  readonly value: number | null;
  readonly expiryMs: number;
}

/** What a bounded cache is, said with a list, oldest first. */
class Model implements NumberCache {
  readonly left: number[] = [];
  readonly values: Array<number | null> = [];
  readonly reasons: EvictReason[] = [];
  evictions = 0;
  #held: Held[] = [];

  constructor(
    public capacity: number,
    public bytesMax: number,
    readonly clock: CacheClock,
  ) {}

  get length(): number {
    return this.#held.length;
  }

  get bytes(): number {
    return this.#held.reduce((sum, { value }) => sum + bytesOf(value), 0);
  }

  add(key: number, value: number | null, ttlMs = Infinity): boolean {
    this.#held = this.#held.filter((held) => held.key !== key);
    const before = this.evictions;
    if (bytesOf(value) > this.bytesMax) this.#evict({ key, value });
    else {
      this.#shrink(this.capacity - 1, this.bytesMax - bytesOf(value));
      this.#held.push({ key, value, expiryMs: this.clock.nowMs() + ttlMs });
    }
    return this.evictions > before;
  }

  get(key: number): number | null | undefined {
    const held = this.#dropExpired(key);
    if (held) this.#held = [...this.#held.filter((other) => other !== held), held];
    return held?.value;
  }

  peek(key: number): number | null | undefined {
    return this.#alive().find((held) => held.key === key)?.value;
  }

  contains(key: number): boolean {
    return this.peek(key) !== undefined;
  }

  remove(key: number): boolean {
    const held = this.#dropExpired(key);
    if (held) this.#drop(held, 'removed');
    return held !== undefined;
  }

  keys(): number[] {
    return this.#alive().map((held) => held.key);
  }

  purge(): void {
    for (const held of this.#held) this.#drop(held, 'purged');
  }

  resize(capacity: number, bytesMax: number): number {
    const before = this.evictions;
    [this.capacity, this.bytesMax] = [capacity, bytesMax];
    this.#shrink(capacity, bytesMax);
    return this.evictions - before;
  }

  #alive(): Held[] {
    return this.#held.filter(({ expiryMs }) => this.clock.nowMs() <= expiryMs);
  }

  #dropExpired(key: number): Held | undefined {
    const held = this.#held.find((held) => held.key === key);
    if (!held || this.#alive().includes(held)) return held;
    this.#drop(held, 'expired');
    return undefined;
  }

  #shrink(capacity: number, bytesMax: number): void {
    while (this.length > capacity || this.bytes > bytesMax) this.#evict(this.#held.shift()!);
  }

  #evict(gone: Pick<Held, 'key' | 'value'>): void {
    this.evictions++;
    this.#tell(gone, 'evicted');
  }

  #drop(gone: Held, reason: EvictReason): void {
    this.#held = this.#held.filter((held) => held !== gone);
    this.#tell(gone, reason);
  }

  #tell({ key, value }: Pick<Held, 'key' | 'value'>, reason: EvictReason): void {
    this.left.push(key);
    this.values.push(value);
    this.reasons.push(reason);
  }
}
