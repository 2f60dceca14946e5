import type { ArmName } from '../dependency-table.js';
import { PANEL_MEASUREMENT } from '../experiments/panel-runs.js';
import type { Contrast, Run } from '../results.js';
import { median } from '../statistics/wilcoxon.js';

/** What an arm had: the median over its valid runs, in the unit of the measure; a dash when there is none. */
export function middleOf({ metric, unit }: Pick<Contrast, 'metric' | 'unit'>, runs: readonly Run[], arm: ArmName): string {
  const values = runs.flatMap(({ valid, label, metrics }) => (valid && label === arm ? [metrics[metric] ?? Number.NaN] : []));
  const middle = values.length === 0 ? Number.NaN : median(values);
  if (Number.isNaN(middle)) return '–';
  // Bad requests enter the percentiles at the time-out: the true value is that or more.
  const isCensored = /p\d+Ms$/.test(metric) && middle >= PANEL_MEASUREMENT.timeoutMs;
  return `${isCensored ? 'at least ' : ''}${withUnit(middle, unit)}`;
}

/** Of each key its last acknowledged write alone can be lost, so it is of so many keys; a run of before that was so counted all writes. */
export function writesLost({ metrics }: Pick<Run, 'metrics'>, shown: (count: number) => string = String): string {
  const { acknowledgedKeys, acknowledgedWrites } = metrics;
  const count = (value: number | undefined) => (value === undefined ? '–' : shown(value));
  const lost = count(metrics['acknowledgedWritesLost'] ?? metrics['writesOnlyTheGoneKnew']);
  return acknowledgedKeys === undefined
    ? `${lost} of ${count(acknowledgedWrites)}`
    : `the last of ${lost} of ${count(acknowledgedKeys)} keys`;
}

function withUnit(value: number, unit: string): string {
  if (unit === 'B') return `${(value / 2 ** 20).toFixed(0)} MiB`;
  if (unit === '') return `${(value * 100).toFixed(2)} %`;
  return `${value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)} ${unit}`;
}

/** Of services against monolith: the estimate, and its interval; dashes where there is none. */
export function comparedIn({ scale, estimate, low, high }: Contrast): readonly [estimate: string, interval: string] {
  const figure = (value: number) => (scale === 'ratio' ? value.toFixed(2) : points(value));
  const unit = scale === 'ratio' ? ' ×' : ' points';
  return [
    Number.isNaN(estimate) ? '–' : `${figure(estimate)}${unit}`,
    Number.isNaN(low) ? '–' : `${figure(low)} to ${figure(high)}${unit}`,
  ];
}

/** Percentage points of a share, without a negative nothing. */
function points(share: number): string {
  const text = (share * 100).toFixed(2);
  return Number(text) === 0 ? '0.00' : text;
}

/** The measure in words; of one that is compared by difference, that it is. */
export function labelOf({ label, scale }: Pick<Contrast, 'label' | 'scale'>): string {
  return scale === 'difference' ? `${label} (difference)` : label;
}

export function verdictOf({ winner, verdict }: Pick<Contrast, 'winner' | 'verdict'>): string {
  return winner ? `${winner} ${verdict}` : verdict;
}
