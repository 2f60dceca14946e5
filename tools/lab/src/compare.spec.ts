import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { compare, type Experiments } from './compare.js';
import type { PanelSizes } from './experiments/panel-runs.js';
import type { Experiment, LabReport } from './results.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'diptych-compare-'));
  // Any program that has a version: no broker is started here.
  vi.stubEnv('DIPTYCH_NATS_SERVER', process.execPath);
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const made = (id: string): Experiment => ({
  id,
  title: id,
  claim: '',
  expectation: '',
  caveat: '',
  runs: [{ block: 0, order: 0, arm: 'monolith', label: id, valid: true, metrics: {}, series: [] }],
  contrasts: [],
  findings: [],
});
const experimentsOf = (change: Partial<Experiments> = {}): Experiments => ({
  panelRuns: () => Promise.resolve({ runs: [], refused: undefined, failed: undefined }),
  costLadder: () => Promise.resolve(made('cost-ladder')),
  crash: () => Promise.resolve(made('crash')),
  ...change,
});
const results = () => JSON.parse(readFileSync(join(folder, 'out/results.json'), 'utf8')) as LabReport;
const options = () => ({ seed: 7, outDir: join(folder, 'out'), blocks: undefined });

it.each([
  [undefined, 6, 'npm run compare -- --seed 7'],
  [12, 12, 'npm run compare -- --seed 7 --blocks 12'],
])('runs as many blocks as were asked for: %s', async (blocks, expected, replay) => {
  let asked: PanelSizes | undefined;
  const panelRuns: Experiments['panelRuns'] = (_lab, _arms, sizes) => {
    asked = sizes;
    return Promise.resolve({ runs: [], refused: undefined, failed: undefined });
  };
  await compare({ ...options(), blocks }, experimentsOf({ panelRuns }));
  expect(asked?.blocks).toBe(expected);
  expect(results().meta).toMatchObject({ seed: 7, replay });
  expect(JSON.parse(readFileSync(join(folder, 'out/manifest.json'), 'utf8'))).toMatchObject({ plan: { panels: { blocks: expected } } });
});

it('has one hash for one plan, and another for another', async () => {
  const hashes: string[] = [];
  for (const blocks of [undefined, undefined, 12]) {
    const outDir = join(folder, `out${hashes.length}`);
    await compare({ seed: 7, outDir, blocks }, experimentsOf());
    hashes.push((JSON.parse(readFileSync(join(outDir, 'results.json'), 'utf8')) as LabReport).meta.planHash);
  }
  expect(hashes[1]).toBe(hashes[0]);
  expect(hashes[2]).not.toBe(hashes[0]);
});

it('keeps what was measured when a later experiment fails, and cannot say', async () => {
  expect(await compare(options(), experimentsOf({ crash: () => Promise.reject(new Error('no disk')) }))).toBe(2);
  expect(results().interrupted).toBe('an experiment failed: no disk');
  expect(results().experiments.map(({ id }) => id)).toEqual(['hop-tax', 'footprint', 'cost-ladder']);
});

it('begins nothing after a signal, keeps what there is, and cannot say', async () => {
  const crash = vi.fn<Experiments['crash']>();
  const costLadder: Experiments['costLadder'] = () => {
    process.emit('SIGINT', 'SIGINT');
    return Promise.resolve(made('cost-ladder'));
  };
  expect(await compare(options(), experimentsOf({ costLadder, crash }))).toBe(2);
  expect(crash).not.toHaveBeenCalled();
  expect(results()).toMatchObject({ interrupted: 'stopped by a signal' });
});
