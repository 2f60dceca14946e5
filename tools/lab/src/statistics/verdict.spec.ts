import { describe, expect, it } from 'vitest';
import type { ContrastPlan } from '../results.js';
import { contrast, seeable } from './verdict.js';

const plan: ContrastPlan = {
  metric: 'p50',
  label: 'median latency',
  unit: 'ms',
  a: 'services',
  b: 'monolith',
  scale: 'ratio',
  better: 'smaller',
  margin: 1.1,
};
const pairs = (...ratios: number[]) => ratios.map((ratio) => ({ a: 2 * ratio, b: 2 }));

describe('contrast', () => {
  it('says better, and names the winner, when the whole interval is beyond the margin', () => {
    const result = contrast(plan, pairs(1.5, 1.6, 1.4, 1.55, 1.45, 1.5));
    expect(result).toMatchObject({ verdict: 'better', winner: 'monolith', blocks: 6 });
    expect(result.estimate).toBeCloseTo(1.5, 1);
    expect(contrast(plan, pairs(0.5, 0.6, 0.55, 0.52, 0.58, 0.5))).toMatchObject({ verdict: 'better', winner: 'services' });
    expect(contrast({ ...plan, better: 'larger' }, pairs(1.5, 1.6, 1.4, 1.55, 1.45, 1.5))).toMatchObject({ winner: 'services' });
  });

  it('says slightly better when the interval is off no-difference but reaches the margin', () => {
    expect(contrast(plan, pairs(1.05, 1.08, 1.12, 1.15, 1.2, 1.1))).toMatchObject({ verdict: 'slightly better', winner: 'monolith' });
  });

  it('says equal when the interval is inside the margin, though it may be off no-difference', () => {
    const result = contrast(plan, pairs(1.02, 1.03, 1.01, 1.02, 1.03, 1.04));
    expect(result.verdict).toBe('equal for practical purposes');
    expect(result.winner).toBeUndefined();
  });

  it('says inconclusive, and how many blocks it would take, when the interval spans it all', () => {
    const result = contrast(plan, pairs(0.7, 1.4, 0.9, 1.3, 0.8, 1.2));
    expect(result.verdict).toBe('inconclusive');
    expect(result.sentence).toMatch(
      /^No winner\. median latency ratio services\/monolith .*, 6 blocks\. This machine could only see differences above about \d+ %; about \d+ blocks would be needed for 10 %\.$/,
    );
  });

  it('gives no verdict on fewer than six blocks', () => {
    expect(contrast(plan, pairs(2, 2, 2, 2, 2))).toMatchObject({ verdict: 'no verdict', blocks: 5 });
  });

  it('gives no verdict when a block has no figure: what is left would favour the arm that failed in it', () => {
    const result = contrast(plan, [...pairs(2, 2, 2, 2, 2, 2), { a: Number.NaN, b: 1 }]);
    expect(result.verdict).toBe('no verdict');
    expect(result.sentence).toMatch(/1 of 7 blocks have no figure/);
  });

  it('compares what can be zero by differences', () => {
    const availability: ContrastPlan = { ...plan, metric: 'availability', unit: '', scale: 'difference', better: 'larger', margin: 0.01 };
    const result = contrast(
      availability,
      Array.from({ length: 6 }, (_, i) => ({ a: 0.99, b: 0.4 + i / 100 })),
    );
    expect(result).toMatchObject({ verdict: 'better', winner: 'services' });
  });

  it('does not call an arm different from itself', () => {
    expect(contrast(plan, pairs(1, 1, 1, 1, 1, 1)).winner).toBeUndefined();
  });

  it('says it as the method’s own example does: 12 blocks, 0.86 to 1.37, so 26 % and about 70 blocks', () => {
    expect(seeable(plan, { low: 0.86, high: 1.37, blocks: 12 })).toBe(
      'This machine could only see differences above about 26 %; about 72 blocks would be needed for 10 %.',
    );
  });

  it('takes the noise of the machine for the margin where that is larger, and never the other way round', () => {
    const ratios = pairs(1.5, 1.6, 1.4, 1.55, 1.45, 1.5);
    expect(contrast(plan, ratios, { halfWidth: Math.log(2) })).toMatchObject({ verdict: 'inconclusive', margin: 2 });
    expect(contrast(plan, ratios, { halfWidth: Math.log(1.5) })).toMatchObject({ verdict: 'slightly better', winner: 'monolith' });
    expect(contrast(plan, ratios, { halfWidth: 0.001 })).toMatchObject({ verdict: 'better', margin: 1.1 });
  });

  it('names the floor where it is what bounds the sight, and does not claim to see what it then does not count', () => {
    const { verdict, sentence } = contrast(plan, pairs(1.13, 1.17, 1.15, 1.14, 1.16, 1.15), { halfWidth: Math.log(1.3) });
    expect(verdict).toBe('inconclusive');
    expect(sentence).toContain('Below about 30 % no difference counts on this machine');
    expect(sentence).not.toContain('could only see differences above');
  });

  it('compares nothing in a measure that is refused', () => {
    const result = contrast(plan, pairs(1.5, 1.6, 1.4, 1.55, 1.45, 1.5), { refused: 'it was different from itself' });
    expect(result).toMatchObject({ verdict: 'no verdict', estimate: Number.NaN });
    expect(result.winner).toBeUndefined();
  });
});
