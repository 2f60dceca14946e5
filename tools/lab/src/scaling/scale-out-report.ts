import type { Experiment, Run } from '../results.js';
import { median } from '../statistics/wilcoxon.js';
import { best, bottleneck, SEARCH } from './capacity.js';
import { PERIOD_MS } from './cpu-quota.js';
import { CPUS_AN_INSTANCE, PANEL_OF, type ScaledArmName } from './fleet.js';
import { SCALE_OUT, type Scaled } from './scale-out.js';
import { slope, type Slope } from './slope.js';

/** As the report has experiments. */
export function scaleOutExperiment(done: readonly Scaled[]): Experiment {
  return {
    id: 'scale-out',
    title: 'Scaling out',
    claim: 'Services scale out; a monolith replicates everything.',
    expectation: `Replicas by key scale nearly linearly, since they share nothing; the services stop where the one log or the broker has used up its ${CPUS_AN_INSTANCE} CPU.`,
    caveat: `Each instance, log and broker has ${CPUS_AN_INSTANCE} of a core by a control group with periods of ${PERIOD_MS} ms; the balancer has no bound and its CPU is counted. Instances are N replicas, or N gateways with one cache for every two; the services have a log and a broker besides, so compare by core too. Replicas answer list and report for their own keys only. One machine: the generator shares its cores, and steps of ${SEARCH.stepSeconds} s tell a rate to within ${((Math.sqrt(Math.sqrt(SEARCH.factor)) - 1) * 100).toFixed(0)} %. No verdict.`,
    runs: done.map(runOf),
    contrasts: [],
    findings: findingsOf(done),
  };
}

function runOf({ block, arm, workload, instances, cpus, steps }: Scaled, order: number): Run {
  const step = best(steps);
  const throttled = steps
    .flatMap(({ parts }) => parts.flatMap(({ throttledPeriods }) => throttledPeriods ?? []))
    .reduce((sum, each) => sum + each, 0);
  return {
    block,
    order,
    arm: PANEL_OF[arm],
    label: `${workload}, ${arm}, ${instances}`,
    valid: steps.every(({ disturbed }) => disturbed === undefined),
    metrics: {
      instances,
      cpus,
      throttledPeriods: throttled,
      ...(step && {
        goodPerSecond: step.goodPerSecond,
        goodPerSecondAndCpu: step.goodPerSecond / cpus,
        p50Ms: step.p50Ms,
        memoryBytes: step.memoryBytes,
        cpuMsPer1000Good: step.cpuMsPer1000Good,
      }),
    },
    series: [],
  };
}

function findingsOf(done: readonly Scaled[]): string[] {
  return Object.keys(SCALE_OUT.workloads)
    .flatMap((workload) =>
      SCALE_OUT.arms.flatMap((arm) => {
        const of = done.filter((each) => each.arm === arm && each.workload === workload);
        if (of.length === 0) return [];
        const one = goodOf(of, 1);
        const row = SCALE_OUT.instances.map((n) => {
          const good = goodOf(of, n);
          return good === undefined
            ? `${n}: –`
            : `${n}: ${Math.round(good)}${one === undefined || n === 1 ? '' : ` (${((good / (n * one)) * 100).toFixed(0)} %)`}`;
        });
        const last = of.filter(({ instances }) => instances === Math.max(...of.map((each) => each.instances)));
        return [
          `${workload}, ${arm}: good requests a second by instances (and efficiency) ${row.join(', ')}. It stops with ${last[0]!.instances} at ${bottleneck(last.at(-1)!.steps)}.`,
          ...costOf(workload, arm, of),
        ];
      }),
    )
    .concat(disturbedOf(done));
}

function goodOf(of: readonly Scaled[], instances: number): number | undefined {
  const good = of.filter((each) => each.instances === instances).flatMap(({ steps }) => best(steps)?.goodPerSecond ?? []);
  return good.length === 0 ? undefined : median(good);
}

/** What an extra 1,000 good requests a second cost: the slope over the numbers of instances, each at its own capacity. */
function costOf(workload: string, arm: ScaledArmName, of: readonly Scaled[]): string[] {
  const points = of.flatMap(({ steps }) => best(steps) ?? []);
  const memory = slope(points.map(({ goodPerSecond, memoryBytes }) => [goodPerSecond / 1000, memoryBytes / 2 ** 20]));
  const cpu = slope(
    points.map(({ goodPerSecond, cpuMsPer1000Good }) => [goodPerSecond / 1000, (goodPerSecond / 1000) * (cpuMsPer1000Good / 1000)]),
  );
  if (!memory || !cpu) return [];
  return [
    `${workload}, ${arm}: an extra 1,000 good requests a second cost ${words(memory, 'MiB', 0)} and ${words(cpu, 'cores', 2)} (slope over ${points.length} searches, 95 % interval).`,
  ];
}

function words({ estimate, low, high }: Slope, unit: string, digits: number): string {
  return `${estimate.toFixed(digits)} ${unit} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
}

function disturbedOf(done: readonly Scaled[]): string[] {
  const steps = done.flatMap((each) => each.steps);
  const disturbed = steps.filter((step) => step.disturbed !== undefined);
  const throttled = done.map((each, i) => runOf(each, i).metrics['throttledPeriods'] ?? 0);
  return [
    `The quota held: in every search the kernel stopped instances, in ${Math.min(...throttled)} to ${Math.max(...throttled)} periods of ${PERIOD_MS} ms (nr_throttled).`,
    ...(disturbed.length === 0
      ? []
      : [
          `In ${disturbed.length} of ${steps.length} steps generator or machine were disturbed (${disturbed[0]!.disturbed}): the figures are indications.`,
        ]),
  ];
}
