import { describe, expect, it } from 'vitest';
import { CONTRAST, reportOf } from '../../test/made-up.js';
import type { Conclusion } from '../conclusion.js';
import type { Contrast, Experiment, LabReport, Run } from '../results.js';
import { page } from './page.js';
import { unfitToPublish } from './publish.js';
import { printTable } from './terminal.js';

const contrast: Contrast = { ...CONTRAST, metric: 'p99Ms', label: 'p99 latency', verdict: 'slightly better', sentence: '' };
const share: Contrast = {
  ...contrast,
  metric: 'availability',
  label: 'share of good answers',
  unit: '',
  scale: 'difference',
  estimate: -0.00001,
  low: -0.02,
  high: 0.01,
  verdict: 'inconclusive',
  winner: undefined,
};
const run = (arm: Run['arm'], metrics: Run['metrics'], valid = true): Run => ({
  block: 0,
  order: 0,
  arm,
  label: arm,
  valid,
  metrics,
  series: [],
});
const experiment: Experiment = {
  id: 'hop-tax',
  title: 'Hop tax',
  claim: '',
  expectation: '',
  caveat: '',
  runs: [
    run('monolith', { p99Ms: 4.25, availability: 0.9991 }),
    run('monolith', { p99Ms: 900, availability: 0 }, false),
    run('services', { p99Ms: 2_000, availability: 1 }),
  ],
  contrasts: [contrast, share],
  findings: ['a finding'],
  survival: [{ arm: 'services', killed: 'log', capability: 'hit', expected: 'survives', seen: 'fails', availability: 0.5 }],
};
const report = reportOf(experiment);
const conclusion: Conclusion = {
  outcome: 'fail',
  reasons: ['a reason'],
  unexpected: ['a surprise'],
  sentences: ['one.', 'two.', 'three.'],
  notes: ['a note'],
};

/** The cells of a row, from its first one on. */
const latencyRow = ['p99 latency', '4.25 ms', 'at least 2,000 ms', '1.50 ×', '1.40 to 1.60 ×', '6', 'monolith slightly better'];
const shareRow = ['share of good answers (difference)', '99.91 %', '100.00 %', '0.00 points', '-2.00 to 1.00 points', '6', 'inconclusive'];

describe('the table of the terminal', () => {
  let text = '';
  printTable(report, conclusion, { write: (part: string) => ((text += part), true) } as unknown as NodeJS.WritableStream);
  const lines = text.split('\n').map((line) => line.trim().split(/ {2,}/));

  it('shows what each arm had, how they compare and who won', () => {
    expect(lines).toContainEqual(latencyRow);
    expect(lines).toContainEqual(shareRow);
  });

  it('marks what the table of dependencies did not expect, and ends with the outcome', () => {
    expect(lines).toContainEqual(['hit', 'log of services', 'survives', 'fails', '(!)', '50 %']);
    expect(text).toContain('one.\ntwo.\nthree.');
    expect(text.trimEnd().endsWith('Outcome: fail: a reason')).toBe(true);
  });
});

it('a run is published only from a commit, with twelve blocks, and when something can be said', () => {
  const of = (blocks: number): LabReport => ({
    ...report,
    experiments: [{ ...experiment, contrasts: [{ ...contrast, blocks }], survival: [] }],
  });
  expect(unfitToPublish(of(12))).toBeUndefined();
  expect(unfitToPublish(of(6))).toContain('it has 6 blocks');
  expect(unfitToPublish({ ...of(12), meta: { ...report.meta, dirty: true } })).toContain('uncommitted');
  expect(unfitToPublish({ ...of(12), interrupted: 'stopped' })).toContain('cannot say');
});

describe('the page', () => {
  const html = page(report, conclusion);
  const rows = [...html.matchAll(/<tr(?: class="([^"]*)")?>(<td.*?)<\/tr>/g)].map(([, className, cells]) => ({
    className,
    cells: [...cells!.matchAll(/<td[^>]*>([^<]*)/g)].map(([, cell]) => cell),
  }));

  it('shows what each arm had, how they compare and who won', () => {
    expect(rows).toContainEqual({ className: 'won-by-monolith', cells: latencyRow });
    expect(rows).toContainEqual({ className: undefined, cells: shareRow });
  });

  it('marks what the table of dependencies did not expect', () =>
    expect(rows).toContainEqual({ className: 'surprise', cells: ['hit', 'log of the services', 'survives', 'fails', '50 %'] }));

  it('has its charts named, and hides none from a screen reader', () => {
    expect(html).toMatch(/<svg[^>]*aria-label="milliseconds from/);
    expect(html).not.toContain('aria-hidden="true"><svg');
  });
});
