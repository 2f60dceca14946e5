import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashOf, lessLoaded, ownerOf } from './choice.js';

const members = (names: readonly string[]) => names.map((instance) => ({ instance, hash: hashOf(instance) }));
const names = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/), { minLength: 2, maxLength: 12 });
const parameters = { seed: seedFromEnv(), numRuns: 200 };

describe('the owner of a key', () => {
  it('is the same whatever the order in which members are known', () => {
    fc.assert(
      fc.property(names, fc.string(), (some, key) => {
        expect(ownerOf(members(some.toReversed()), key)!.instance).toBe(ownerOf(members(some), key)!.instance);
      }),
      parameters,
    );
  });

  it('moves only when it is the one that left, and back when that one returns', () => {
    fc.assert(
      fc.property(names, fc.nat(), fc.array(fc.string(), { maxLength: 50 }), (some, pick, keys) => {
        const left = some[pick % some.length]!;
        for (const key of keys) {
          const before = ownerOf(members(some), key)!.instance;
          const after = ownerOf(members(some.filter((name) => name !== left)), key)!.instance;
          if (before === left) expect(after).not.toBe(left);
          else expect(after).toBe(before);
        }
      }),
      parameters,
    );
  });

  it('is each of n members for about an n-th of the keys, counted ones too', () => {
    fc.assert(
      fc.property(names, fc.string({ maxLength: 8 }), (some, prefix) => {
        const all = members(some);
        const share = new Map<string, number>();
        const keys = 2_000 * some.length;
        for (let i = 0; i < keys; i++) {
          const { instance } = ownerOf(all, `${prefix}${i}`)!;
          share.set(instance, (share.get(instance) ?? 0) + 1);
        }
        // 2,000 expected, with a standard deviation below 45: six of them.
        for (const { instance } of all) expect(Math.abs((share.get(instance) ?? 0) - 2_000)).toBeLessThan(270);
      }),
      { ...parameters, numRuns: 30 },
    );
  });

  it('is nobody when there is nobody', () => {
    expect(ownerOf([], 'key')).toBeUndefined();
  });
});

describe('the less loaded of two', () => {
  it('is one of them, and never the one with the most outstanding when all differ', () => {
    const loads = fc.uniqueArray(fc.nat(1_000), { minLength: 2, maxLength: 10 });
    fc.assert(
      fc.property(loads, fc.infiniteStream(fc.double({ min: 0, max: 0.999_999, noNaN: true })), (some, stream) => {
        const all = some.map((outstanding) => ({ outstanding }));
        const chosen = lessLoaded(all, () => stream.next().value as number)!;
        expect(all).toContain(chosen);
        expect(chosen.outstanding).toBeLessThan(Math.max(...some));
      }),
      parameters,
    );
  });

  it('spreads evenly, and stops feeding one that does not answer', () => {
    const all = Array.from({ length: 3 }, () => ({ outstanding: 0, taken: 0 }));
    const [stuck] = all;
    const queue: typeof all = [];
    for (let i = 0; i < 30_000; i++) {
      const chosen = lessLoaded(all, Math.random)!;
      chosen.outstanding++;
      chosen.taken++;
      if (chosen !== stuck) queue.push(chosen);
      // Eight are in flight at the others.
      if (queue.length > 8) queue.shift()!.outstanding--;
    }
    expect(stuck!.taken).toBeLessThan(20);
    expect(Math.abs(all[1]!.taken - all[2]!.taken)).toBeLessThan(1_500);
  });

  it('is the only one, or nobody', () => {
    expect(lessLoaded([{ outstanding: 9 }], Math.random)).toEqual({ outstanding: 9 });
    expect(lessLoaded([], Math.random)).toBeUndefined();
  });
});
