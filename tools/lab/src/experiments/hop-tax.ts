import type { ContrastPlan, Experiment, Run } from '../results.js';
import { contrast } from '../statistics/verdict.js';
import type { ArmName } from '../dependency-table.js';

/** Declared before any run: 10 % is the smallest ratio worth acting on. The first is the primary. */
const PLANS: ReadonlyArray<Omit<ContrastPlan, 'a' | 'b'>> = [
  { metric: 'p50Ms', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1 },
  { metric: 'p99Ms', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1 },
  { metric: 'cpuMsPer1000Good', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1 },
  { metric: 'ycsbA.p50Ms', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1 },
  { metric: 'ycsbA.p99Ms', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1 },
  { metric: 'cities.p50Ms', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1 },
  { metric: 'availability', unit: '', scale: 'difference', better: 'larger', margin: 0.01 },
];

/** What a request pays for crossing processes: latency and CPU, at a rate that both panels serve with ease. */
export function hopTax(runs: readonly Run[], a: string = 'services', b: string = 'monolith'): Experiment {
  return {
    id: 'hop-tax',
    title: 'Hop tax',
    claim: 'Splitting a system costs latency and CPU on every request.',
    expectation: 'The monolith is better on latency and CPU.',
    replay: 'npm run compare',
    caveat: 'One machine: the network is loopback, and a fixed moderate rate says nothing about where each arm saturates.',
    runs,
    contrasts: PLANS.map((plan) => contrast({ ...plan, a: armOf(runs, a), b: armOf(runs, b) }, pairsOf(runs, plan.metric, a, b))),
    findings: [],
  };
}

/** One pair a valid block: the figure of the run labelled `a` and of the one labelled `b`. */
export function pairsOf(runs: readonly Run[], metric: string, a: string, b: string): Array<{ a: number; b: number }> {
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
