import type { ArmName } from '../dependency-table.js';
import type { KnownNoise } from '../noise-floor.js';
import type { Contrast, ContrastPlan, Experiment, Run } from '../results.js';
import { contrast } from '../statistics/verdict.js';
import { median } from '../statistics/wilcoxon.js';
import type { PanelRuns } from './panel-runs.js';

/** A measure that two arms are compared by. */
export type Measure = Omit<ContrastPlan, 'a' | 'b'>;

/** Declared before any run: 10 % is the smallest ratio worth acting on, one point the smallest difference. The first is the primary. */
export const HOP_TAX_MEASURES: readonly Measure[] = [
  { metric: 'p50Ms', label: 'median latency, YCSB-B', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1, expected: 'monolith' },
  { metric: 'p99Ms', label: 'p99 latency, YCSB-B', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1, expected: 'monolith' },
  {
    metric: 'cpuMsPer1000Good',
    label: 'CPU of 1,000 good requests, YCSB-B',
    unit: 'ms',
    scale: 'ratio',
    better: 'smaller',
    margin: 1.1,
    expected: 'monolith',
  },
  {
    metric: 'ycsbA.p50Ms',
    label: 'median latency, YCSB-A',
    unit: 'ms',
    scale: 'ratio',
    better: 'smaller',
    margin: 1.1,
    expected: 'monolith',
  },
  { metric: 'ycsbA.p99Ms', label: 'p99 latency, YCSB-A', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1, expected: 'monolith' },
  {
    metric: 'cities.p50Ms',
    label: 'median latency, cities',
    unit: 'ms',
    scale: 'ratio',
    better: 'smaller',
    margin: 1.1,
    expected: 'monolith',
  },
  {
    metric: 'cities.p99Ms',
    label: 'p99 latency, cities',
    unit: 'ms',
    scale: 'ratio',
    better: 'smaller',
    margin: 1.1,
    expected: 'monolith',
  },
  { metric: 'availability', label: 'share of good answers, YCSB-B', unit: '', scale: 'difference', better: 'larger', margin: 0.01 },
];

/** What a request pays for crossing processes: latency and CPU, at a rate that both panels serve with ease. */
export function hopTax({ runs, refused }: PanelRuns, noise: KnownNoise): Experiment {
  return {
    id: 'hop-tax',
    title: 'Hop tax',
    claim: 'Splitting a system costs latency and CPU on every request.',
    expectation: 'The monolith is better on latency and CPU.',
    caveat:
      'One machine: the network is loopback. The rate is fixed and the same for both, so the arm that needs more CPU also queues more; where each arm saturates is not asked. Reads follow writes, so some of them miss.',
    runs,
    contrasts: contrastsOf(HOP_TAX_MEASURES, runs, 'services', 'monolith', noise, refused),
    findings: [...loadOf(runs), ...notSteady(runs), ...censored(runs), PROMISE],
  };
}

/** Whoever promises less may be faster for it, so it is printed beside the figures. */
const PROMISE =
  'The promises are not equal: the services may answer a read with a value that is up to 5 s stale (maxStaleMs, as it is by default), the monolith never does.';

/** Two labels of runs, compared by some measures. */
export function contrastsOf(
  measures: readonly Measure[],
  runs: readonly Run[],
  a: string,
  b: string,
  noise: KnownNoise,
  refused?: string,
): Contrast[] {
  return measures.map((measure) => {
    const floor = refused === undefined ? noise.of(measure.metric) : { refused };
    return contrast({ ...measure, a: armOf(runs, a), b: armOf(runs, b) }, pairsOf(runs, measure.metric, a, b), floor);
  });
}

/** One pair a valid block: the figure of the run labelled `a` and of the one labelled `b`. */
function pairsOf(runs: readonly Run[], metric: string, a: string, b: string): Array<{ a: number; b: number }> {
  const valid = runs.filter((run) => run.valid);
  const pairs: Array<{ a: number; b: number }> = [];
  for (const block of new Set(valid.map((run) => run.block))) {
    const figure = (label: string) => valid.find((run) => run.block === block && run.label === label)?.metrics[metric] ?? Number.NaN;
    pairs.push({ a: figure(a), b: figure(b) });
  }
  return pairs;
}

function armOf(runs: readonly Run[], label: string): ArmName {
  return runs.find((run) => run.label === label)?.arm ?? (label as ArmName);
}

/** How hard each arm worked: a ratio of latencies at 20 and at 70 % of a core is partly one of queues. */
function loadOf(runs: readonly Run[]): string[] {
  const used = (arm: ArmName, metric: string) => {
    const figures = runs.filter((run) => run.valid && run.arm === arm).flatMap(({ metrics }) => metrics[metric] ?? []);
    return figures.length === 0 ? undefined : median(figures);
  };
  return Object.entries({ 'YCSB-B': 'coresUsed', 'YCSB-A': 'ycsbA.coresUsed', cities: 'cities.coresUsed' }).flatMap(([load, metric]) => {
    const of = (['monolith', 'services'] as const).map((arm) => ({ arm, cores: used(arm, metric) }));
    const shares = of.flatMap(({ arm, cores }) => (cores === undefined ? [] : [`the ${arm} ${(cores * 100).toFixed(0)} %`]));
    const queues = of.filter(({ cores }) => cores !== undefined && cores > EASE_CORES_MAX).map(({ arm }) => `the ${arm}`);
    if (shares.length === 0) return [];
    const caution = queues.length === 0 ? '' : ` Not with ease: the tail of ${queues.join(' and ')} is one of queues, too.`;
    return [`Of one core, while ${load} ran: ${shares.join(', ')} (median of the valid runs).${caution}`];
  });
}

/** The wait in a queue with random arrivals is as long as the service at half of what the server can do, and 2.3 times as long at 0.7 (M/M/1). */
const EASE_CORES_MAX = 0.7;

function notSteady(runs: readonly Run[]): string[] {
  const unsteady = runs.filter(({ steady }) => steady === false);
  if (unsteady.length === 0) return [];
  const ofArm = (arm: ArmName) => unsteady.filter((run) => run.arm === arm).length;
  return [
    `${unsteady.length} of ${runs.length} runs were not steady when the warm-up reached its cap (monolith ${ofArm('monolith')}, services ${ofArm('services')}); they count all the same.`,
  ];
}

/** A percentile at the time-out is "that or more", so a ratio with it is a bound. */
function censored(runs: readonly Run[]): string[] {
  const worst = runs.filter(({ valid, metrics }) => valid && (metrics['availability'] ?? 1) < 0.99);
  return worst.length === 0
    ? []
    : [`In ${worst.length} run(s) 1 % or more of the requests were bad; they count as slow as the time-out, so p99 there is that or more.`];
}
