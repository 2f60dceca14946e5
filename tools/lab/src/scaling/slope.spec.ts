import { expect, it } from 'vitest';
import { slope } from './slope.js';

// Devore and Peck would do; this one can be checked by hand: x 1…5, y 2, 4, 5, 4, 5 gives 0.6, a residual sum of squares of 2.4, and so 0.6 ± 3.182 · √(0.8 / 10).
it('is the least-squares slope with Student’s interval', () => {
  const { estimate, low, high } = slope([1, 2, 3, 4, 5].map((x, i) => [x, [2, 4, 5, 4, 5][i]!] as const))!;
  expect([estimate.toFixed(3), low.toFixed(3), high.toFixed(3)]).toEqual(['0.600', '-0.300', '1.500']);
});

it('is none where there are too few points, or all at one place', () => {
  expect(
    slope([
      [1, 2],
      [2, 3],
    ]),
  ).toBeUndefined();
  expect(
    slope([
      [1, 2],
      [1, 3],
      [1, 4],
    ]),
  ).toBeUndefined();
});
