import type { ContrastPlan, Experiment, Run } from '../results.js';
import { contrast } from '../statistics/verdict.js';
import { median } from '../statistics/wilcoxon.js';
import { pairsOf } from './hop-tax.js';

const PLANS: ReadonlyArray<Omit<ContrastPlan, 'a' | 'b'>> = [
  { metric: 'pssBytes', unit: 'B', scale: 'ratio', better: 'smaller', margin: 1.1 },
  { metric: 'idlePssBytes', unit: 'B', scale: 'ratio', better: 'smaller', margin: 1.1 },
  { metric: 'firstGoodReplyMs', unit: 'ms', scale: 'ratio', better: 'smaller', margin: 1.1 },
];

/** What an arm costs before it has done anything: memory, time to the first good reply, processes. From the same fresh starts as the hop tax. */
export function footprint(runs: readonly Run[]): Experiment {
  const middle = (arm: string, metric: string) =>
    median(runs.filter(({ label, valid }) => valid && label === arm).map(({ metrics }) => metrics[metric] ?? Number.NaN));
  const measured = (['monolith', 'services'] as const).filter((arm) => runs.some(({ label, valid }) => valid && label === arm));
  return {
    id: 'footprint',
    title: 'Footprint',
    claim: 'More processes need more memory and more time to start.',
    expectation: 'The monolith is better on memory, start and number of things to run.',
    replay: 'npm run compare',
    caveat:
      'Memory is the proportional set size after the load of the hop tax, broker included. The services start one after another, as their order demands.',
    runs,
    contrasts: PLANS.map((plan) => contrast({ ...plan, a: 'services', b: 'monolith' }, pairsOf(runs, plan.metric, 'services', 'monolith'))),
    findings: measured.map(
      (arm) =>
        `${arm}: ${middle(arm, 'processes')} process(es) on ${middle(arm, 'ports')} port(s), ${middle(arm, 'settings')} setting(s) to say how they find each other, ${(middle(arm, 'firstGoodReplyMs') / 1000).toFixed(2)} s to the first good reply, ${(middle(arm, 'idlePssBytes') / 2 ** 20).toFixed(0)} MiB idle, ${(middle(arm, 'pssBytes') / 2 ** 20).toFixed(0)} MiB after load.`,
    ),
  };
}
