import { describe, expect, it } from 'vitest';
import { bySecond, elasticityOf, overloadsOf } from './elasticity-measures.js';

describe('elasticity, by hand', () => {
  const demand = [1, 1, 2, 2, 2, 2, 1, 1, 1, 1];
  it('is nothing but zeros when supply is demand', () => {
    expect(elasticityOf(demand, demand)).toMatchObject({
      underPercent: 0,
      overPercent: 0,
      timeUnderPercent: 0,
      timeOverPercent: 0,
      jitterPerMinute: 0,
      instabilityPercent: 0,
      instanceSeconds: 14,
    });
  });
  it('counts what is missing and what is too much, by size and by time', () => {
    const late = [1, 1, 1, 1, 2, 2, 2, 2, 1, 1];
    expect(elasticityOf(demand, late)).toMatchObject({
      underPercent: 10,
      overPercent: 20,
      timeUnderPercent: 20,
      timeOverPercent: 20,
      jitterPerMinute: 0,
    });
  });
  it('counts supply that moves against demand', () => {
    expect(elasticityOf([1, 1, 1, 1, 1, 2], [2, 2, 2, 2, 2, 1]).instabilityPercent).toBe(100);
    expect(elasticityOf([1, 1, 1, 1, 1, 1], [1, 2, 1, 2, 1, 2]).jitterPerMinute).toBe(50);
  });
});

it('a count that changes at moments has the value of each second’s middle', () => {
  const changes = [
    { wallMs: 900, instances: 1 },
    { wallMs: 2_400, instances: 2 },
    { wallMs: 3_600, instances: 3 },
  ];
  expect(bySecond(changes, 1_000, 4)).toEqual([1, 2, 2, 3]);
});

describe('an overload', () => {
  const rates: number[] = Array.from({ length: 10 }, (_, second) => (second < 6 ? 100 : 50));
  const of = (goodShares: readonly number[], outs: readonly number[], asked = rates) => overloadsOf(goodShares, asked, outs, 0.99);

  it('lasts to the first of three good seconds, and counts from the first decision of it', () =>
    expect(of([1, 0.5, 0.5, 1, 0.9, 1, 1, 1, 1, 1], [1.5, 3.2], rates.fill(100))).toEqual([
      { fromSecond: 1, toSecond: 5, decidedSecond: 1.5, backSeconds: 3.5 },
    ]));
  it('that ends because less is asked for is none that was dealt with', () =>
    expect(of([1, 0.5, 0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1], [2], [...Array<number>(6).fill(100), 50, 50, 50, 50])).toEqual([
      { fromSecond: 1, toSecond: 6, decidedSecond: 2, backSeconds: null },
    ]));
  it('that lasts to the end has none', () =>
    expect(of([1, 1, 1, 1, 1, 1, 1, 0.5, 1, 1], [8])).toEqual([{ fromSecond: 7, toSecond: null, decidedSecond: 8, backSeconds: null }]));
  it('that nobody decided anything about is counted too', () =>
    expect(of([1, 0.5, 1, 1, 1, 0.5, 1, 1, 1, 1], [4.5]).map(({ decidedSecond, backSeconds }) => [decidedSecond, backSeconds])).toEqual([
      [undefined, undefined],
      [4.5, 1.5],
    ]));
  it('is none where nothing was missed', () => expect(of(Array<number>(10).fill(1), [2])).toEqual([]));
});
