import { describe, expect, it } from 'vitest';
import { bySecond, elasticityOf, secondsToObjective } from './elasticity-measures.js';

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

describe('the time from a decision to the objective', () => {
  it('runs to the first of three good seconds', () => expect(secondsToObjective([1, 0.5, 0.5, 1, 0.9, 1, 1, 1], 1.5, 0.99)).toBe(3.5));
  it('is none where nothing was missed', () => expect(secondsToObjective([1, 1, 1, 1, 1], 2, 0.99)).toBeUndefined());
  it('has no end when it is not met again', () => expect(secondsToObjective([1, 0.5, 0.5, 0.5, 0.5], 1, 0.99)).toBe(Infinity));
});
