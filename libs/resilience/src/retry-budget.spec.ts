import { FakeClock } from '@diptych/kernel/testing';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_GUARDS } from './guard-options.js';
import { RetryBudget } from './retry-budget.js';

const DEFAULTS = DEFAULT_GUARDS.retry.budget;

const Step = fc.oneof(
  { weight: 5, arbitrary: fc.constant('request' as const) },
  { weight: 5, arbitrary: fc.constant('repeat' as const) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 5_000 }) },
);

describe('RetryBudget', () => {
  it('never gives out more than it says, from its start and from any later moment', () => {
    fc.assert(
      fc.property(
        fc.record({
          ratio: fc.constantFrom(0, 0.1, 0.5),
          minimum: fc.integer({ min: 0, max: 12 }),
          minimumPerSecond: fc.constantFrom(0, 1, 3),
        }),
        fc.integer({ min: 0, max: 30 }),
        fc.array(Step, { maxLength: 400 }),
        fc.nat({ max: 400 }),
        (some, more, steps, from) => {
          const options = { ...some, savedMax: some.minimum + more };
          const clock = new FakeClock();
          const budget = new RetryBudget(options, clock);
          const whole = { requests: 0, repeats: 0, fromMs: 0 };
          const part = { requests: 0, repeats: 0, fromMs: 0 };
          steps.forEach((step, at) => {
            if (at === from) Object.assign(part, { requests: 0, repeats: 0, fromMs: clock.nowMs() });
            if (typeof step === 'number') return clock.advance(step);
            if (step === 'request') budget.earn();
            else if (!budget.take()) return;
            for (const counted of [whole, part]) counted[step === 'request' ? 'requests' : 'repeats']++;
            const { ratio, minimum, minimumPerSecond, savedMax } = options;
            const rest = ({ requests, fromMs }: typeof whole) =>
              requests * ratio + ((clock.nowMs() - fromMs) / 1_000) * minimumPerSecond + 1e-6;
            expect(whole.repeats).toBeLessThanOrEqual(minimum + rest(whole));
            if (at >= from) expect(part.repeats).toBeLessThanOrEqual(savedMax + rest(part));
          });
        },
      ),
      { seed: seedFromEnv(), numRuns: 300 },
    );
  });

  it('gives a tenth of the requests, exactly', () => {
    const budget = new RetryBudget({ ...DEFAULTS, minimum: 0, minimumPerSecond: 0 }, new FakeClock());
    let repeats = 0;
    for (let request = 0; request < 1_000; request++) {
      budget.earn();
      if (budget.take()) repeats++;
    }
    expect(repeats).toBe(100);
  });

  it('lets low traffic repeat: the minimum comes back with time, and no further', () => {
    const clock = new FakeClock();
    const budget = new RetryBudget(DEFAULTS, clock);
    const takeAll = () => {
      let taken = 0;
      while (budget.take()) taken++;
      return taken;
    };
    expect(takeAll()).toBe(10);
    clock.advance(3_000);
    expect(takeAll()).toBe(3);
    clock.advance(3_600_000);
    expect(takeAll()).toBe(10);
  });

  it('saves no more than it may', () => {
    const budget = new RetryBudget(DEFAULTS, new FakeClock());
    for (let request = 0; request < 1_000_000; request++) budget.earn();
    expect(budget.left).toBe(250);
  });

  it('refuses figures that make no sense', () => {
    expect(() => new RetryBudget({ ...DEFAULTS, ratio: Number.NaN }, new FakeClock())).toThrow(RangeError);
    expect(() => new RetryBudget({ ...DEFAULTS, savedMax: 1 }, new FakeClock())).toThrow(RangeError);
  });
});
