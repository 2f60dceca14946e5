import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Capability } from '../dependency-table.js';
import type { Experiment, Run } from '../results.js';

/** Charts as SVG text: nothing to load, readable without scripts, on paper and in both colour schemes. */
const WIDTHS = { wide: 860, narrow: 360 } as const;
type Width = keyof typeof WIDTHS;

/** Drawn twice, and the page shows one: an image made for a desk and shrunk to a phone has letters that nobody can read. */
function bothWidths(draw: (width: Width) => string): string {
  return `<div class="desk">${draw('wide')}</div><div class="phone" aria-hidden="true">${draw('narrow')}</div>`;
}

/** Colours come from the page, so that light, dark and print each have their own. */
const ARM_COLOURS = { domain: ['monolith', 'services'], range: ['var(--monolith)', 'var(--services)'] };
const LABELS: Readonly<Record<string, string>> = {
  p50Ms: 'p50, YCSB-B',
  p99Ms: 'p99, YCSB-B',
  'ycsbA.p50Ms': 'p50, YCSB-A',
  'ycsbA.p99Ms': 'p99, YCSB-A',
  'cities.p50Ms': 'p50, cities',
  'cities.p99Ms': 'p99, cities',
  pssBytes: 'memory after load',
  idlePssBytes: 'memory idle',
};

export function chartOf(experiment: Experiment): string {
  switch (experiment.id) {
    case 'hop-tax':
      return dots(
        rows(experiment, ['p50Ms', 'p99Ms', 'ycsbA.p50Ms', 'ycsbA.p99Ms', 'cities.p50Ms', 'cities.p99Ms'], 1),
        'milliseconds from the scheduled moment, log scale',
        'log',
      );
    case 'footprint':
      return dots(rows(experiment, ['idlePssBytes', 'pssBytes'], 2 ** 20), 'MiB', 'linear');
    case 'cost-ladder':
      return ladder(experiment);
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

/** Every run is a dot; void ones are hollow; the stroke is the median. */
function dots(data: Row[], label: string, type: 'log' | 'linear'): string {
  return bothWidths((width) => drawDots(data, label, type, width));
}

function drawDots(data: Row[], label: string, type: 'log' | 'linear', width: Width): string {
  const measures = [...new Set(data.map(({ measure }) => measure))];
  return svg(width, {
    height: 60 + measures.length * 62,
    marginLeft: 130,
    x: { type, label, grid: true, ...(type === 'linear' && { zero: true }) },
    y: { label: null, domain: ['monolith', 'services'], axis: null, padding: 0.4 },
    fy: { label: null, domain: measures },
    color: { ...ARM_COLOURS, legend: false },
    marks: [
      Plot.dot(data, {
        x: 'value',
        y: 'arm',
        fy: 'measure',
        stroke: 'arm',
        fill: (row: Row) => (row.valid ? row.arm : null),
        fillOpacity: 0.45,
        r: 5,
      }),
      Plot.tickX(
        data.filter(({ valid }) => valid),
        Plot.groupY({ x: 'median' }, { x: 'value', y: 'arm', fy: 'measure', stroke: 'arm', strokeWidth: 2.5 }),
      ),
    ],
  });
}

function ladder(experiment: Experiment): string {
  const data = experiment.runs.map(({ label, metrics, arm }) => ({ rung: label, value: metrics['aloneUs'], arm }));
  return bothWidths((width) => drawLadder(data, width));
}

function drawLadder(data: ReadonlyArray<object>, width: Width): string {
  return svg(width, {
    height: 170,
    marginLeft: 90,
    x: { type: 'log', label: 'microseconds for a lone call, log scale', grid: true },
    y: { label: null, domain: ['in-process', 'loopback', 'NATS'] },
    color: ARM_COLOURS,
    marks: [Plot.dot(data, { x: 'value', y: 'rung', stroke: 'arm', fill: 'arm', fillOpacity: 0.45, r: 5 })],
  });
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
  const drawn = bothWidths((width) => drawTimeline(run, capabilities, data, band, width));
  return `<figure><figcaption>${escape(run.label)}${run.valid ? '' : ' (void)'}: share of good answers a second; the band is the time the part was away</figcaption>${drawn}</figure>`;
}

function drawTimeline(run: Run, capabilities: Capability[], data: object[], band: object[], width: Width): string {
  return svg(width, {
    height: 50 + capabilities.length * 56,
    marginLeft: 60,
    marginRight: 60,
    x: { label: 'seconds', grid: false },
    y: { label: null, domain: [0, 1], ticks: [0, 1], tickFormat: (share: number) => `${share * 100} %` },
    fy: { label: null, domain: capabilities, padding: 0.35 },
    marks: [
      Plot.rect(band, { x1: 'from', x2: 'to', y1: 0, y2: 1, fy: 'capability', fill: 'var(--fault)', fillOpacity: 0.25 }),
      Plot.areaY(data, { x: 'second', y: 'share', fy: 'capability', fill: `var(--${run.arm})`, fillOpacity: 0.2 }),
      Plot.lineY(data, { x: 'second', y: 'share', fy: 'capability', stroke: `var(--${run.arm})`, strokeWidth: 1.5 }),
      Plot.dot(data, { x: 'second', y: 'share', fy: 'capability', fill: `var(--${run.arm})`, r: 2 }),
    ],
  });
}

/** The types of Plot and of the stand-in for a browser speak of the DOM, which this program does not have. */
const draw = Plot.plot as unknown as (options: object) => { setAttribute(name: string, value: string): void; readonly outerHTML: string };
const parse = parseHTML as unknown as (html: string) => { readonly document: object };

function svg(width: Width, options: Plot.PlotOptions): string {
  const { document } = parse('<html><body></body></html>');
  const plot = draw({ width: WIDTHS[width], document, style: { background: 'transparent', fontSize: '12px' }, ...options });
  plot.setAttribute('role', 'img');
  return plot.outerHTML;
}

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
