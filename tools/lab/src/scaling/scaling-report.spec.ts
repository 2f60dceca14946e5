import { expect, it } from 'vitest';
import { chartOf } from '../report/charts.js';
import { scalingTable } from '../report/scaling-tables.js';
import type { Step } from './capacity.js';
import { crashesOf, type Pool } from './fleet.js';
import { scaleOutExperiment } from './scale-out-report.js';
import type { Scaled } from './scale-out.js';
import { tooManyDisturbed } from './scaling-lab.js';

const stepOf = (instances: number, goodShare: number): Step => ({
  ratePerSecond: 400 * instances,
  goodPerSecond: 400 * instances * goodShare,
  goodShare,
  p50Ms: 3,
  p90Ms: 9,
  cpuMsPer1000Good: 300,
  memoryBytes: 2 ** 20 * (100 + 150 * instances),
  parts: [{ name: 'replica-1', pool: 'replica', usedShare: 0.99, throttledShare: 0.5, throttledPeriods: 100 }],
  machineBusy: 0.6,
  disturbed: undefined,
  hindered: undefined,
  series: [],
});
const DONE = [1, 2, 3, 4].map((instances): Scaled => ({
  block: 0,
  arm: 'monolith-replicas',
  workload: 'reads only',
  instances,
  cpus: instances / 4,
  steps: [stepOf(instances, 1), stepOf(instances * 2, 0.4)],
  disturbed: undefined,
}));

it('a scale-out is told by goodput, efficiency, what stops it, what more of it costs, and that the quota held', () => {
  const experiment = scaleOutExperiment(DONE);
  const [stop, cost, quota] = experiment.findings;
  expect(stop).toMatch(
    /with 1 it stops at replica .*; with 4 it stops at replica \(1, 99 % of its share, stopped in 50 % of its periods\)\.$/,
  );
  expect(cost).toContain('the slope over 4 searches');
  const [head, row, byCore] = scalingTable(experiment)!;
  expect(head).toContain('memory of another 1,000');
  const figures = ['400', '800 (100 %)', '1,200 (100 %)', '1,600 (100 %)', '375 MiB (375 to 375)', '0.30 cores (0.30 to 0.30)'];
  expect(row).toEqual(['reads only, monolith-replicas', ...figures]);
  expect(byCore).toEqual(['reads only, monolith-replicas, by core', '1,600', '1,600', '1,600', '1,600', '', '']);
  expect(quota).toBe(
    'What used most of its quota in any step used 99 % of it; the kernel stopped instances in 200 to 200 periods of 20 ms a search (nr_throttled).',
  );
  expect(chartOf(experiment).match(/<svg/g)).toHaveLength(4);
  // Whatever the order that they were measured in.
  expect(chartOf(scaleOutExperiment(DONE.toReversed()))).toBe(chartOf(experiment));
});

it('a search that met the objective at no rate is counted, and one on a disturbed machine is no valid run', () => {
  const missed = { ...DONE[1]!, block: 1, steps: DONE[1]!.steps.map((step) => ({ ...step, goodShare: 0.5 })) };
  const experiment = scaleOutExperiment([...DONE, missed, { ...DONE[0]!, block: 1, disturbed: 'other programs used 20 % of the cores' }]);
  expect(scalingTable(experiment)![1]!.slice(1, 3)).toEqual(['–, 1 of 2 disturbed', '800, 1 of 2 met nothing']);
  expect(experiment.findings).toContainEqual(expect.stringContaining('1 of 6 searches met the objective at no rate'));
  expect(experiment.findings.at(-1)).toBe('1 of 6 searches were disturbed (other programs used 20 % of the cores).');
  expect(experiment.runs.map(({ valid }) => valid)).toEqual([true, true, true, true, true, false]);
});

it('a few disturbed searches are left out of medians and slope, and counted; with more of them there is no figure', () => {
  const blocks = (wrong: number) =>
    [0, 1, 2, 3].flatMap((block) =>
      DONE.map((each): Scaled =>
        block < wrong ? { ...each, block, steps: [stepOf(9, 1)], disturbed: 'replica-2 ended by itself' } : { ...each, block },
      ),
    );
  const rowWith = (wrong: number) => scalingTable(scaleOutExperiment(blocks(wrong)))![1]!;
  expect(rowWith(1).slice(1, 3)).toEqual(['400, 1 of 4 disturbed', '800 (100 %), 1 of 4 disturbed']);
  expect(rowWith(1).at(-2)).toBe('375 MiB (375 to 375)');
  expect(rowWith(2).slice(1, 3)).toEqual(['–, 2 of 4 disturbed', '–, 2 of 4 disturbed']);
  expect(rowWith(2).slice(-2)).toEqual(['–', '–']);
});

it('nothing is said when more runs were disturbed than may be, and where each is another cause, when one was', () => {
  const runs = (disturbed: number) => Array.from({ length: 6 }, (_, i) => ({ valid: i >= disturbed }));
  expect(tooManyDisturbed(runs(1), 0.3)).toBeUndefined();
  expect(tooManyDisturbed(runs(2), 0.3)).toBe('2 of 6 runs were disturbed, and no more than 30 % may be');
  expect(tooManyDisturbed(runs(0), 0)).toBeUndefined();
  expect(tooManyDisturbed(runs(1), 0)).toBe('1 of 6 runs were disturbed, and none may be');
});

it('an instance that ended by itself is told; a log or a cache that did ends what is measured', () => {
  const fleet = (pool: Pool) => ({
    arm: 'services-scaled' as const,
    endedByThemselves: () => [{ name: `${pool}-1`, pool, how: 'SIGSEGV' }],
  });
  expect(crashesOf(fleet('cache'), ['gateway', 'cache'])).toEqual(['cache-1 ended by itself: SIGSEGV']);
  expect(crashesOf(fleet('gateway'))).toEqual(['gateway-1 ended by itself: SIGSEGV']);
  for (const pool of ['log', 'cache'] as const) expect(() => crashesOf(fleet(pool))).toThrow(`${pool}-1 ended by itself: SIGSEGV`);
});
