import { expect, it } from 'vitest';
import { limitsInWords, limitVariables, LIMITS, partsOf } from './limits.js';
import { quotaFindings, quotaOf } from './quota.js';

it('both arms may use the same in sum', () => {
  const sums = (['monolith', 'services'] as const).map((arm) =>
    partsOf(arm).reduce(
      (sum, part) => ({ cpus: sum.cpus + LIMITS[arm][part]!.cpus * 10, memoryMb: sum.memoryMb + LIMITS[arm][part]!.memoryMb }),
      { cpus: 0, memoryMb: 0 },
    ),
  );
  expect(sums[0]).toEqual(sums[1]);
});

it('they are given to the compose file by its own names', () => {
  expect(limitVariables('monolith')).toEqual({ MONOLITH_CPUS: '1', MONOLITH_MEMORY: '1536m' });
  expect(limitVariables('services')).toMatchObject({ NATS_CPUS: '0.2', LOG_MEMORY: '512m' });
});

const account = (cpuMs: number) => ({ cpuMs, throttledPeriods: 3, throttledMs: 50, memoryBytes: 1, rssBytes: 1, memoryLimitBytes: 384e6 });

it.each([
  ['within it', 200, 400, true],
  ['at its end, with the slack of a period', 200, 1_070, true],
  ['beyond it', 200, 1_800, false],
])('a quota is kept by who uses no more than it allows: %s', (_, fromMs, toMs, kept) => {
  const state = { cpus: 0.4, memoryLimitBytes: 384e6 };
  const quota = quotaOf('gateway', state, { from: account(fromMs), to: account(toMs), elapsedMs: 2_000 });
  expect(quota).toMatchObject({ part: 'gateway', cpus: 0.4, kept });
});

it('no quota is none that is kept', () => {
  const accounts = { from: account(0), to: account(1), elapsedMs: 1_000 };
  expect(quotaOf('gateway', { cpus: 0, memoryLimitBytes: 384e6 }, accounts).kept).toBe(false);
  expect(quotaOf('gateway', { cpus: 0.4, memoryLimitBytes: 0 }, accounts).kept).toBe(false);
});

it('is told in a sentence for each container, over all of its runs', () => {
  const run = { cpus: 0.4, cpuMs: 500, elapsedMs: 5_000, throttledPeriods: 5, throttledMs: 9, memoryLimitBytes: 384 * 2 ** 20, kept: true };
  const whole = { ...run, arm: 'monolith', part: 'monolith', cpus: 1 } as const;
  const part = { ...run, arm: 'services', part: 'gateway' } as const;
  expect(quotaFindings([whole, part, { ...part, cpuMs: 1_500, throttledPeriods: 15 }])).toEqual([
    'monolith: allowed 1 of a core and 384 MiB; took 0.10 of a core over 1 run(s), and was held back in 5 of 50 periods of 100 ms (10.0 %).',
    'gateway of the services: allowed 0.4 of a core and 384 MiB; took 0.20 of a core over 2 run(s), and was held back in 20 of 100 periods of 100 ms (20.0 %).',
  ]);
  expect(limitsInWords()).toContain('services gateway 0.4 CPU and 384 MiB, cache');
});
