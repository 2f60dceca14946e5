import type { Experiment, Run } from '../results.js';
import { best, bottleneck, meets, SEARCH } from './capacity.js';
import { PERIOD_MS } from './cpu-quota.js';
import { CPUS_AN_INSTANCE, PANEL_OF } from './fleet.js';
import { marginalCost } from './marginal-cost.js';
import { SCALE_OUT, type Scaled } from './scale-out.js';

/** As the report has experiments. */
export function scaleOutExperiment(done: readonly Scaled[]): Experiment {
  return {
    id: 'scale-out',
    title: 'Scaling out',
    claim: 'Services scale out; a monolith replicates everything.',
    expectation: `Replicas by key scale nearly linearly, since they share nothing; the services stop where the one log or the broker has used up its ${CPUS_AN_INSTANCE} CPU.`,
    caveat: `Each instance, log and broker has ${CPUS_AN_INSTANCE} of a core in periods of ${PERIOD_MS} ms; the balancer has no bound and its CPU is counted. Instances are N replicas, or N gateways with one cache for every two; the services have a log and a broker besides, so compare by core too. Replicas answer list and report for their own keys only. One machine: the generator shares its cores, and steps of ${SEARCH.stepSeconds} s tell a rate to within ${((Math.sqrt(Math.sqrt(SEARCH.factor)) - 1) * 100).toFixed(0)} %. No verdict.`,
    runs: done.map(runOf),
    contrasts: [],
    findings: findingsOf(done),
  };
}

function runOf({ block, arm, workload, instances, cpus, steps, disturbed }: Scaled, order: number): Run {
  const step = best(steps);
  const throttled = steps
    .flatMap(({ parts }) => parts.flatMap(({ throttledPeriods }) => throttledPeriods ?? []))
    .reduce((sum, each) => sum + each, 0);
  return {
    block,
    order,
    arm: PANEL_OF[arm],
    label: `${workload}, ${arm}, ${instances}`,
    valid: disturbed === undefined,
    metrics: {
      instances,
      cpus,
      throttledPeriods: throttled,
      metNothing: step ? 0 : 1,
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

/** What is no figure of the table: what ended the growth, and whether the figures can be believed. */
function findingsOf(done: readonly Scaled[]): string[] {
  return Object.keys(SCALE_OUT.workloads)
    .flatMap((workload) =>
      SCALE_OUT.arms.flatMap((arm) => {
        const of = done.filter((each) => each.arm === arm && each.workload === workload).sort((a, b) => a.instances - b.instances);
        if (of.length === 0) return [];
        const searches = marginalCost(of.map(runOf))?.searches;
        const nothing = of.filter(({ steps }) => !best(steps)).length;
        return [
          `${workload}, ${arm}: ${of.map(({ instances, steps }) => `with ${instances} it stops at ${bottleneck(steps)}`).join('; ')}.`,
          ...(searches === undefined
            ? []
            : [`${workload}, ${arm}: what another 1,000 cost is the slope over ${searches} searches, with its 95 % interval.`]),
          ...(nothing === 0
            ? []
            : [
                `${workload}, ${arm}: ${nothing} of ${of.length} searches met the objective at no rate, and are in no median and no slope.`,
              ]),
        ];
      }),
    )
    .concat(disturbedOf(done));
}

function disturbedOf(done: readonly Scaled[]): string[] {
  const steps = done.flatMap((each) => each.steps);
  const hindered = steps.filter((step) => step.hindered !== undefined && !meets(step));
  const machine = done.filter((each) => each.disturbed !== undefined);
  const throttled = done.map((each, i) => runOf(each, i).metrics['throttledPeriods'] ?? 0);
  return [
    `What used most of its quota in any step used ${(Math.max(...steps.flatMap(({ parts }) => parts.flatMap((part) => (part.throttledPeriods === undefined ? [] : part.usedShare)))) * 100).toFixed(0)} % of it; the kernel stopped instances in ${Math.min(...throttled)} to ${Math.max(...throttled)} periods of ${PERIOD_MS} ms a search (nr_throttled).`,
    ...(hindered.length === 0
      ? []
      : [
          `${hindered.length} of ${steps.length} steps missed the objective on a machine that hindered them (${hindered[0]!.hindered}): the first ${SEARCH.hinderedTriesMax} of a rate are not counted.`,
        ]),
    ...(machine.length === 0 ? [] : [`${machine.length} of ${done.length} searches were disturbed (${machine[0]!.disturbed}).`]),
  ];
}
