import { quotaFindings, type Quota } from '../containers/quota.js';
import type { KnownNoise } from '../noise-floor.js';
import type { Experiment } from '../results.js';
import { median } from '../statistics/wilcoxon.js';
import { contrastsOf, type Measure } from './hop-tax.js';
import type { PanelRuns } from './panel-runs.js';

export const FOOTPRINT_MEASURES: readonly Measure[] = [
  { metric: 'memoryBytes', label: 'memory after load', unit: 'B', scale: 'ratio', better: 'smaller', margin: 1.1, expected: 'monolith' },
  { metric: 'idleMemoryBytes', label: 'memory when idle', unit: 'B', scale: 'ratio', better: 'smaller', margin: 1.1, expected: 'monolith' },
  {
    metric: 'firstGoodReplyMs',
    label: 'time to the first good reply',
    unit: 'ms',
    scale: 'ratio',
    better: 'smaller',
    margin: 1.1,
    expected: 'monolith',
  },
];

const IN_PROCESSES =
  'Memory is resident pages, those of a file that several processes of the arm map counted once, broker included; idle is right after the first good reply. The lab starts the services one after another, each when the one before is ready; they could start at once.';
const IN_CONTAINERS =
  'Memory is what the control groups of the containers say is in use, without the page cache, broker included; idle is right after the first good reply. Time to the first good reply is that of docker compose up, images built before, under the quotas.';

/**
 * What an arm costs before it has done anything: memory, time to the first good reply, processes. From the same fresh starts as the hop tax.
 *
 * @param quotas of containers, where the arms run in such
 */
export function footprint(
  { runs, refused }: PanelRuns,
  noise: KnownNoise,
  quotas?: ReadonlyArray<Quota & { readonly arm: string }>,
): Experiment {
  const middle = (arm: string, metric: string) =>
    median(runs.filter(({ label, valid }) => valid && label === arm).map(({ metrics }) => metrics[metric] ?? Number.NaN));
  const measured = (['monolith', 'services'] as const).filter((arm) => runs.some(({ label, valid }) => valid && label === arm));
  const mebibytes = (arm: string, metric: string) => `${(middle(arm, metric) / 2 ** 20).toFixed(0)} MiB`;
  return {
    id: 'footprint',
    title: 'Footprint',
    claim: 'More processes need more memory and more time to start.',
    expectation: 'The monolith is better on memory, start and number of things to run.',
    caveat: `${quotas ? IN_CONTAINERS : IN_PROCESSES} The numbers of ports and settings are declared and not measured. Idle CPU is not measured.`,
    runs,
    contrasts: contrastsOf(FOOTPRINT_MEASURES, runs, 'services', 'monolith', noise, refused),
    findings: measured
      .map(
        (arm) =>
          `${arm}: ${middle(arm, 'processes')} process(es) on ${middle(arm, 'ports')} port(s), ${middle(arm, 'settings')} setting(s) to say how they find each other; medians: ${(middle(arm, 'firstGoodReplyMs') / 1000).toFixed(2)} s to the first good reply, ${mebibytes(arm, 'idleMemoryBytes')} idle, ${mebibytes(arm, 'memoryBytes')} after load.`,
      )
      .concat(quotas ? quotaFindings(quotas) : []),
  };
}
