import { expect, it } from 'vitest';
import type { Contrast, Experiment } from '../results.js';
import { correctPrimaries, holm } from './holm.js';
import { contrast } from './verdict.js';

it('adjusts as the textbook does, in any order, and never below a smaller p', () => {
  // Holm 1979, the step-down rule: p(1) × 3, p(2) × 2, p(3) × 1, each at least the one before.
  expect(holm([0.01, 0.04, 0.03])).toEqual([0.03, 0.06, 0.06]);
  expect(holm([0.04])).toEqual([0.04]);
  expect(holm([0.9, 0.8])).toEqual([1, 1]);
  expect(holm([])).toEqual([]);
});

const plan = { metric: 'x', label: 'x', unit: 'ms', a: 'services', b: 'monolith', scale: 'ratio', better: 'smaller', margin: 1.1 } as const;
/** The first `unlike` blocks point the other way. */
const measured = (blocks: number, unlike = 0) =>
  contrast(
    plan,
    Array.from({ length: blocks }, (_, i) => ({ a: i < unlike ? 0.5 + i / 100 : 1.5 + i / 100, b: 1 })),
  );
const experiment = (...contrasts: Contrast[]) => ({ contrasts }) as unknown as Experiment;

it('leaves six blocks their winner, which is called indicative, and twelve clear ones theirs', () => {
  for (const blocks of [6, 12]) {
    const [first] = correctPrimaries([experiment(measured(blocks)), experiment(measured(blocks))]);
    expect(first!.contrasts[0]).toMatchObject({ verdict: 'better', winner: 'monolith', pHolm: 2 * 2 ** (1 - blocks) });
  }
});

it('takes the winner from a primary of twelve blocks that does not survive, and leaves what is not primary alone', () => {
  const barely = { ...measured(12), pValue: 0.03 };
  const [first] = correctPrimaries([experiment(barely, { ...barely }), experiment({ ...barely })]);
  expect(first!.contrasts[0]).toMatchObject({ verdict: 'inconclusive', winner: undefined, pHolm: 0.06 });
  expect(first!.contrasts[0]!.sentence).toContain('does not survive the correction');
  expect(first!.contrasts[1]).toEqual(barely);
});

it('takes the winner from one of eight blocks too, because eight could have passed', () => {
  const [first] = correctPrimaries([experiment({ ...measured(8), pValue: 0.03 }), experiment({ ...measured(8), pValue: 0.03 })]);
  expect(first!.contrasts[0]).toMatchObject({ winner: undefined, pHolm: 0.06 });
  expect(first!.contrasts[0]!.verdict).toBe('inconclusive');
});

it('counts what was planned and could not be compared as one that showed nothing', () => {
  const [first] = correctPrimaries([experiment(measured(12)), experiment(measured(5))]);
  expect(first!.contrasts[0]!.pHolm).toBe(2 * 2 ** -11);
});
