import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { median, pairedEstimate, signedRankLowerTail, signedRankP } from './wilcoxon.js';

describe('against published figures', () => {
  // Hollander and Wolfe, table 3.1: the Hamilton depression scale of nine patients before and after tranquillizer therapy.
  const before = [1.83, 0.5, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.3];
  const after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
  const differences = after.map((value, i) => value - before[i]!);

  it('finds the estimate -0.46 and the 96 % interval (-0.786, -0.010)', () => {
    const result = pairedEstimate(differences, 0.95)!;
    expect(result.estimate).toBeCloseTo(-0.46, 3);
    expect(result.low).toBeCloseTo(-0.786, 3);
    expect(result.high).toBeCloseTo(-0.01, 3);
    expect(result.coverage).toBeCloseTo(0.961, 3);
  });

  it('finds the exact p of 0.039, twice the one-sided 0.0195', () => {
    expect(signedRankP(differences)).toBeCloseTo(2 * 0.01953125, 10);
  });

  it('has the tabled lower tails of T+: n = 5 cannot reach 95 %, n = 6 just does, n = 12 at 13 is 2.1 %', () => {
    expect(signedRankLowerTail(5)[0]).toBe(1 / 32);
    expect(signedRankLowerTail(6)[0]).toBe(1 / 64);
    expect(signedRankLowerTail(12)[13]).toBeCloseTo(0.0212, 4);
    expect(pairedEstimate([1, 2, 3, 4, 5])).toBeUndefined();
    expect(pairedEstimate([1, 2, 3, 4, 5, 6])).toMatchObject({ n: 6, estimate: 3.5, low: 1, high: 6 });
  });
});

describe('against brute force', () => {
  const difference = fc.integer({ min: -20, max: 20 });

  it('gives the p of all sign patterns, ties and zeros included', () => {
    fc.assert(
      fc.property(fc.array(difference, { minLength: 1, maxLength: 9 }), (differences) => {
        expect(signedRankP(differences)).toBeCloseTo(bruteForceP(differences), 10);
      }),
    );
  });

  it('gives the bounds that invert the test: a shift is inside when the test does not refuse it', () => {
    // Whole differences and a shift that is none of their half sums: neither ties nor zeros.
    const values = fc.uniqueArray(fc.integer({ min: -100, max: 100 }), { minLength: 6, maxLength: 9 });
    const shift = fc.integer({ min: -110, max: 110 }).map((whole) => whole + 0.123);
    fc.assert(
      fc.property(values, shift, (differences, shift) => {
        const { low, high, coverage } = pairedEstimate(differences, 0.95)!;
        const refused = bruteForceP(differences.map((d) => d - shift)) <= 1 - coverage + 1e-12;
        expect(low < shift && shift < high).toBe(!refused);
      }),
    );
  });
});

it('covers the truth about as often as it says, under spiky noise', () => {
  let seed = 12345;
  const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648), seed / 2147483648);
  const trials = 4000;
  let covered = 0;
  for (let trial = 0; trial < trials; trial++) {
    const noise = () => (random() - 0.5) * (random() < 0.1 ? 20 : 1);
    const { low, high } = pairedEstimate(Array.from({ length: 12 }, () => 0.3 + noise()))!;
    if (low <= 0.3 && 0.3 <= high) covered++;
  }
  expect(covered / trials).toBeGreaterThan(0.945);
  expect(covered / trials).toBeLessThan(0.98);
});

it('takes the mean of the middle two as the median of an even number', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([3, 1, 2])).toBe(2);
});

function bruteForceP(differences: readonly number[]): number {
  const nonZero = differences.filter((d) => d !== 0);
  if (nonZero.length === 0) return 1;
  const sizes = nonZero.map(Math.abs);
  const rank = (size: number) => sizes.filter((s) => s < size).length + (sizes.filter((s) => s === size).length + 1) / 2;
  const ranks = sizes.map(rank);
  const total = ranks.reduce((a, b) => a + b, 0);
  const observed = ranks.reduce((sum, r, i) => (nonZero[i]! > 0 ? sum + r : sum), 0);
  const extreme = Math.min(observed, total - observed);
  let count = 0;
  for (let mask = 0; mask < 1 << ranks.length; mask++) {
    const sum = ranks.reduce((acc, r, i) => (mask & (1 << i) ? acc + r : acc), 0);
    if (sum <= extreme + 1e-9) count++;
  }
  return Math.min(1, (2 * count) / (1 << ranks.length));
}
