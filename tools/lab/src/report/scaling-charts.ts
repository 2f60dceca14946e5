import * as Plot from '@observablehq/plot';
import type { Experiment, Run, SeriesPoint } from '../results.js';
import { ARM_COLOURS, figure, type Width } from './drawing.js';

/**
 * Good requests a second by number of instances, a panel a workload; dashed what N times one instance would be. Every search is a dot. Then the same by core of quota, log and broker counted:
 * arms with as many instances have not as many cores.
 */
export function scaleOutChart(experiment: Experiment): string {
  return growthChart(experiment, 'goodPerSecond') + growthChart(experiment, 'goodPerSecondAndCpu');
}

function growthChart({ runs }: Experiment, metric: 'goodPerSecond' | 'goodPerSecondAndCpu'): string {
  const byCore = metric === 'goodPerSecondAndCpu';
  // They were measured in random order, and a line goes from one to the next.
  const data = runs
    .flatMap(({ arm, label, valid, metrics: { instances, [metric]: goodPerSecond } }) =>
      instances === undefined || goodPerSecond === undefined
        ? []
        : [{ arm, workload: label.split(', ')[0]!, instances, goodPerSecond, valid }],
    )
    .sort((a, b) => a.instances - b.instances);
  if (data.length === 0) return '';
  const ones = data.filter(({ valid, instances }) => valid && instances === 1);
  const most = Math.max(...data.map(({ instances }) => instances));
  const ideal = byCore ? [] : ones.flatMap((one) => [one, { ...one, instances: most, goodPerSecond: one.goodPerSecond * most }]);
  const placed = { x: 'instances', y: 'goodPerSecond', fy: 'workload', stroke: 'arm' } as const;
  const held = `each held to a quarter of a core${byCore ? '' : '; dashed: N times what one can'}; hollow: disturbed`;
  const caption = `good requests a second ${byCore ? 'and core of quota, log and broker counted, ' : ''}at the objective by instances, ${held}`;
  return figure(caption, () => ({
    height: 440,
    marginLeft: 60,
    marginRight: 80,
    x: { label: null, ticks: most, tickFormat: String },
    y: { label: null, grid: true, zero: true },
    fy: { label: null },
    color: ARM_COLOURS,
    marks: [
      Plot.line(ideal, { ...placed, strokeDasharray: '3,4', strokeOpacity: 0.6 }),
      Plot.line(
        data.filter(({ valid }) => valid),
        Plot.groupX({ y: 'median' }, placed),
      ),
      Plot.dot(data, { ...placed, r: 5, fill: 'arm', fillOpacity: (each: { valid: boolean }) => (each.valid ? 0.45 : 0) }),
    ],
  }));
}

/** Offered and good requests by second above, instances that were there and that it took below. */
export function elasticityChart(run: Run): string {
  const colour = `var(--${run.arm})`;
  const load = run.series.flatMap((point) => [
    { second: point.second, value: total(point.offered), what: 'offered' },
    { second: point.second, value: total(point.good), what: 'good' },
  ]);
  const steps = Object.entries(run.instances ?? {}).flatMap(([pool, counts]) => counts.map((count, second) => ({ second, count, pool })));
  const caption = (what: string) => `${run.label}${run.valid ? '' : ' (disturbed)'}: ${what}`;
  const common = (width: Width) => ({ height: 170, marginLeft: 48, x: { label: width === 'wide' ? 'seconds' : null } });
  return (
    figure(caption('requests a second, offered (line) and good (filled)'), (width) => ({
      ...common(width),
      y: { label: null, grid: true, zero: true },
      marks: [
        Plot.areaY(
          load.filter(({ what }) => what === 'good'),
          { x: 'second', y: 'value', fill: colour, fillOpacity: 0.35 },
        ),
        Plot.lineY(
          load.filter(({ what }) => what === 'offered'),
          { x: 'second', y: 'value', stroke: 'currentColor' },
        ),
      ],
    })) +
    figure(caption('instances, each held to a quarter of a core; dashed: how many it took'), (width) => ({
      ...common(width),
      marginRight: 60,
      y: { label: null, grid: true, zero: true, ticks: 4 },
      marks: [
        Plot.lineY(
          steps.filter(({ pool }) => pool === 'needed'),
          { x: 'second', y: 'count', curve: 'step', stroke: 'currentColor', strokeDasharray: '3,4' },
        ),
        Plot.lineY(
          steps.filter(({ pool }) => pool !== 'needed'),
          {
            x: 'second',
            y: 'count',
            z: 'pool',
            curve: 'step',
            stroke: colour,
            strokeOpacity: (each: { pool: string }) => (each.pool === 'cache' ? 0.5 : 1),
            strokeWidth: 2,
          },
        ),
        Plot.text(
          steps.filter(({ pool }) => pool !== 'needed'),
          Plot.selectLast({ x: 'second', y: 'count', z: 'pool', text: 'pool', textAnchor: 'start', dx: 4, fill: colour }),
        ),
      ],
    }))
  );
}

function total(counts: SeriesPoint['good']): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}
