import * as Plot from '@observablehq/plot';
import type { Capability } from '../dependency-table.js';
import type { Experiment, Run } from '../results.js';
import { ARM_COLOURS, figure, plain, type Width } from './drawing.js';
import { elasticityChart, scaleOutChart } from './scaling-charts.js';

const LABELS: Readonly<Record<string, string>> = {
  p50Ms: 'p50, YCSB-B',
  p99Ms: 'p99, YCSB-B',
  'ycsbA.p50Ms': 'p50, YCSB-A',
  'ycsbA.p99Ms': 'p99, YCSB-A',
  'cities.p50Ms': 'p50, cities',
  'cities.p99Ms': 'p99, cities',
  cpuMsPer1000Good: 'CPU, YCSB-B',
  firstGoodReplyMs: 'first good reply',
  memoryBytes: 'memory after load',
  idleMemoryBytes: 'memory idle',
};

export function chartOf(experiment: Experiment): string {
  switch (experiment.id) {
    case 'hop-tax':
      return (
        dots(
          rows(experiment, ['p50Ms', 'p99Ms', 'ycsbA.p50Ms', 'ycsbA.p99Ms', 'cities.p50Ms', 'cities.p99Ms'], 1),
          'milliseconds from the scheduled moment to the whole answer, logarithmic',
          'log',
        ) + dots(rows(experiment, ['cpuMsPer1000Good'], 1), 'milliseconds of CPU time for 1,000 good requests', 'linear')
      );
    case 'footprint':
      return (
        dots(rows(experiment, ['idleMemoryBytes', 'memoryBytes'], 2 ** 20), 'memory of the whole arm, MiB', 'linear') +
        dots(rows(experiment, ['firstGoodReplyMs'], 1), 'milliseconds from the start to the first good reply', 'linear')
      );
    case 'cost-ladder':
      return ladder(experiment);
    case 'scale-out':
      return scaleOutChart(experiment);
    case 'elasticity':
      return experiment.runs.map(elasticityChart).join('');
    case 'coming-and-going':
    case 'crash':
      return experiment.runs.map(timeline).join('');
    default:
      return '';
  }
}

interface Row {
  readonly measure: string;
  readonly value: number;
  readonly arm: string;
  readonly valid: boolean;
}

function rows(experiment: Experiment, metrics: readonly string[], unit: number): Row[] {
  return metrics.flatMap((metric) =>
    experiment.runs.flatMap(({ metrics: figures, arm, valid }) =>
      figures[metric] === undefined ? [] : [{ measure: LABELS[metric] ?? metric, value: figures[metric] / unit, arm, valid }],
    ),
  );
}

/** Every run is a dot; void ones are hollow; the stroke is the median. What the axis shows is the caption: below it a phone has no room. */
function dots(data: Row[], caption: string, type: 'log' | 'linear'): string {
  return data.length === 0 ? '' : figure(caption, (width) => drawDots(data, type, width));
}

const DOT = { stroke: 'arm', r: 5, strokeWidth: 1.5 } as const;

function drawDots(data: Row[], type: 'log' | 'linear', width: Width): Plot.PlotOptions {
  const measures = [...new Set(data.map(({ measure }) => measure))];
  const placed = { x: 'value', y: 'arm', fy: 'measure' } as const;
  return {
    height: 40 + measures.length * 62,
    marginLeft: width === 'wide' ? 130 : 108,
    x: {
      type,
      label: null,
      grid: true,
      tickFormat: plain,
      ...(type === 'linear' && { zero: true }),
      ...(width === 'narrow' && { ticks: 4 }),
    },
    y: { label: null, domain: ['monolith', 'services'], axis: null, padding: 0.4 },
    fy: { label: null, domain: measures },
    color: { ...ARM_COLOURS, legend: false },
    marks: [
      // A mark without a fill is not drawn at all when the fill is a channel: hollow dots are a mark of their own.
      Plot.dot(
        data.filter(({ valid }) => valid),
        { ...placed, ...DOT, fill: 'arm', fillOpacity: 0.45 },
      ),
      Plot.dot(
        data.filter(({ valid }) => !valid),
        { ...placed, ...DOT, strokeDasharray: '2,2' },
      ),
      Plot.tickX(
        data.filter(({ valid }) => valid),
        Plot.groupY({ x: 'median' }, { x: 'value', y: 'arm', fy: 'measure', stroke: 'arm', strokeWidth: 2.5 }),
      ),
    ],
  };
}

function ladder(experiment: Experiment): string {
  const data = experiment.runs.map(({ label, metrics, arm, valid }) => ({ rung: label, value: metrics['aloneUs'], arm, valid }));
  if (data.length === 0) return '';
  return figure(
    `microseconds of a lone call, logarithmic; every dot is a round${data.every(({ valid }) => valid) ? '' : ' (void: the machine was disturbed)'}`,
    () => drawLadder(data),
  );
}

function drawLadder(data: ReadonlyArray<object>): Plot.PlotOptions {
  return {
    height: 150,
    marginLeft: 135,
    x: { type: 'log', label: null, grid: true, ticks: 4, tickFormat: plain },
    y: { label: null, domain: ['in-process', 'encoded, same process', 'NATS'] },
    color: ARM_COLOURS,
    marks: [Plot.dot(data, { x: 'value', y: 'rung', stroke: 'arm', fill: 'arm', fillOpacity: 0.45, r: 5 })],
  };
}

/** Share of good answers by second and capability; the time the part was away is the band. */
function timeline(run: Run): string {
  const capabilities = [...new Set(run.series.flatMap(({ offered }) => Object.keys(offered)))] as Capability[];
  const data = run.series.flatMap(({ second, offered, good }) =>
    capabilities.flatMap((capability) =>
      offered[capability] ? [{ second: second + 0.5, capability, share: (good[capability] ?? 0) / offered[capability] }] : [],
    ),
  );
  const band = run.fault ? capabilities.map((capability) => ({ capability, from: run.fault!.fromSecond, to: run.fault!.toSecond })) : [];
  const caption = `${run.label}${run.valid ? '' : ' (void)'}: share of good answers a second${run.fault ? '; the band is the time from the kill to the restart' : ''}`;
  return figure(caption, (width) => drawTimeline(run, capabilities, data, band, width));
}

function drawTimeline(run: Run, capabilities: Capability[], data: object[], band: object[], width: Width): Plot.PlotOptions {
  return {
    height: 50 + capabilities.length * 56,
    marginLeft: 48,
    marginRight: 52,
    x: { label: width === 'wide' ? 'seconds' : null, grid: false },
    y: { label: null, domain: [0, 1], ticks: [0, 1], tickFormat: (share: number) => `${share * 100} %` },
    fy: { label: null, domain: capabilities, padding: 0.35 },
    marks: [
      Plot.rect(band, { x1: 'from', x2: 'to', y1: 0, y2: 1, fy: 'capability', fill: 'var(--fault)', fillOpacity: 0.25 }),
      Plot.areaY(data, { x: 'second', y: 'share', fy: 'capability', fill: `var(--${run.arm})`, fillOpacity: 0.2 }),
      Plot.lineY(data, { x: 'second', y: 'share', fy: 'capability', stroke: `var(--${run.arm})`, strokeWidth: 1.5 }),
      Plot.dot(data, { x: 'second', y: 'share', fy: 'capability', fill: `var(--${run.arm})`, r: 2 }),
    ],
  };
}
