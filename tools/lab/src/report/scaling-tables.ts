import type { Experiment, Run, SeriesPoint } from '../results.js';
import { believed, marginalCost } from '../scaling/marginal-cost.js';
import type { Slope } from '../scaling/slope.js';
import { median } from '../statistics/wilcoxon.js';
import { writesLost } from './figures.js';

/** The figures of an experiment of scaling, a row for each line of it, the head first; reckoned from its runs alone. Undefined: it is none of them, or has no runs. */
export function scalingTable(experiment: Experiment): string[][] | undefined {
  const of = TABLES[experiment.id];
  return of === undefined || experiment.runs.length === 0 ? undefined : of(experiment.runs);
}

const TABLES: Readonly<Record<string, (runs: readonly Run[]) => string[][]>> = {
  'scale-out': growth,
  elasticity: following,
  'coming-and-going': losses,
};

/**
 * Good requests a second by instances, as medians over the blocks, in brackets how much that is of N times one; then what more of it costs. Below, the same by core of quota, since instances are
 * not all there is. A search that met the objective at no rate is in no median: it is counted. So is one that was disturbed, and where too many were, the rest is no figure either.
 */
function growth(runs: readonly Run[]): string[][] {
  const counts = [...new Set(runs.flatMap(({ metrics }) => metrics['instances'] ?? []))].sort((a, b) => a - b);
  const lines = [...Map.groupBy(runs, ({ label }) => label.slice(0, label.lastIndexOf(', ')))].sort(([a], [b]) => a.localeCompare(b));
  const rows = lines.map(([line, of]) => {
    const goodWith = (count: number) => middleWith(of, count, 'goodPerSecond');
    const cost = marginalCost(of);
    return [
      line,
      ...counts.map((count) => {
        const [good, one] = [goodWith(count), goodWith(1)];
        const share = good === undefined || one === undefined || count === 1 ? '' : ` (${((good / (count * one)) * 100).toFixed(0)} %)`;
        return `${figure(good, 0, '')}${share}${leftOut(of, count)}`;
      }),
      cost ? inWords(cost.memoryMib, 'MiB', 0) : '–',
      cost ? inWords(cost.cpuCores, 'cores', 2) : '–',
    ];
  });
  const byCore = lines
    .filter(([, of]) => of.some(({ metrics }) => metrics['goodPerSecondAndCpu'] !== undefined))
    .map(([line, of]) => [
      `${line}, by core`,
      ...counts.map((count) => figure(middleWith(of, count, 'goodPerSecondAndCpu'), 0, '')),
      '',
      '',
    ]);
  const head = ['good requests a second by instances', ...counts.map(String), 'memory of another 1,000', 'CPU of another 1,000'];
  return [head, ...rows, ...byCore];
}

function middleWith(runs: readonly Run[], instances: number, metric: string): number | undefined {
  const searches = runs.filter(({ metrics }) => metrics['instances'] === instances);
  const values = believed(searches).flatMap(({ metrics }) => metrics[metric] ?? []);
  return values.length === 0 ? undefined : median(values);
}

function leftOut(runs: readonly Run[], instances: number): string {
  const searches = runs.filter(({ metrics }) => metrics['instances'] === instances);
  const nothing = searches.filter(({ valid, metrics }) => valid && metrics['goodPerSecond'] === undefined).length;
  const disturbed = searches.filter(({ valid }) => !valid).length;
  return [
    ...(nothing === 0 ? [] : [`, ${nothing} of ${searches.length} met nothing`]),
    ...(disturbed === 0 ? [] : [`, ${disturbed} of ${searches.length} disturbed`]),
  ].join('');
}

function inWords({ estimate, low, high }: Slope, unit: string, digits: number): string {
  return `${estimate.toFixed(digits)} ${unit} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
}

function following(runs: readonly Run[]): string[][] {
  const head = [
    '',
    'one can',
    'good',
    'instances at most',
    'too few (of the time)',
    'too many (of the time)',
    'jitter a minute',
    'instability',
  ];
  const rows = runs.map((run) => {
    const { metrics, instances = {} } = run;
    const pools = Object.keys(instances).filter((pool) => pool !== 'needed');
    const each = (of: (pool: string) => string) => pools.map((pool) => (pools.length === 1 ? of(pool) : `${pool} ${of(pool)}`)).join(', ');
    const percent = (name: string) => (pool: string) => figure(metrics[`${pool}.${name}`], 1, ' %');
    const shareOf = (name: string, time: string) =>
      each((pool) => `${percent(name)(pool)} (${figure(metrics[`${pool}.${time}`], 0, ' %')})`);
    return [
      named(run),
      figure(metrics['ofOneGoodPerSecond'], 0, '/s'),
      figure((metrics['goodShare'] ?? Number.NaN) * 100, 1, ' %'),
      each((pool) => String(Math.max(...instances[pool]!))),
      shareOf('underPercent', 'timeUnderPercent'),
      shareOf('overPercent', 'timeOverPercent'),
      each((pool) => figure(metrics[`${pool}.jitterPerMinute`], 1, '')),
      each((pool) => figure(metrics[`${pool}.instabilityPercent`], 0, ' %')),
      (metrics['notBack'] ?? 0) > 0 ? 'not' : figure(metrics['backSecondsMax'], 1, ' s'),
      figure(metrics['secondsMissed'], 0, ''),
      figure(metrics['cpuMsPer1000Good'], 0, ' ms'),
    ];
  });
  return [[...head, 'back at the objective within', 'seconds without it', 'CPU of 1,000 good'], ...rows];
}

function losses(runs: readonly Run[]): string[][] {
  const head = [
    '',
    'requests without a right answer',
    'acknowledged writes lost',
    'last that was no 404 sent after',
    'shares off equal by',
  ];
  const rows = runs.map((run) => {
    const { metrics, series } = run;
    const offered = series.reduce((sum, point) => sum + total(point.offered), 0);
    return [
      named(run),
      `${figure(metrics['requestsLost'], 0, '')} of ${offered.toLocaleString('en')}`,
      writesLost(run, (count) => figure(count, 0, '')),
      figure(metrics['recoveryMs'] === undefined || metrics['lostByStrike'] === 0 ? undefined : metrics['recoveryMs'] / 1000, 1, ' s'),
      figure(metrics['shareOffMax'] === undefined ? undefined : metrics['shareOffMax'] * 100, 0, ' %'),
    ];
  });
  return [head, ...rows];
}

function named({ label, valid }: Run): string {
  return valid ? label : `${label} (disturbed)`;
}

/** A dash for what there is no figure of. */
function figure(value: number | undefined, digits: number, unit: string): string {
  if (value === undefined || Number.isNaN(value)) return '–';
  return `${value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })}${unit}`;
}

function total(counts: SeriesPoint['offered']): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}
