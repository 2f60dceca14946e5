import type { Contrast, Experiment, LabReport, Meta } from '../src/results.js';

/** Made-up results, for tests of what judges and shows them. */

export const META: Meta = {
  command: 'compare',
  planHash: 'abc',
  replay: 'npm run compare -- --seed 1',
  startedAt: '2026-01-01T00:00:00.000Z',
  seconds: 1,
  seed: 1,
  commit: 'abc',
  dirty: false,
  machine: { cpu: 'a', cores: 2, memoryBytes: 1, kernel: 'k', platform: 'linux' },
  versions: { node: '24', nats: '2' },
  profile: 'p',
};

/** The monolith better in the median latency of six blocks. */
export const CONTRAST: Contrast = {
  metric: 'p50Ms',
  label: 'median latency',
  unit: 'ms',
  a: 'services',
  b: 'monolith',
  scale: 'ratio',
  better: 'smaller',
  estimate: 1.5,
  low: 1.4,
  high: 1.6,
  blocks: 6,
  margin: 1.1,
  pValue: 0.03125,
  verdict: 'better',
  winner: 'monolith',
  sentence: 'monolith better',
};

export function reportOf(...experiments: Experiment[]): LabReport {
  return { format: 'lab-report/1', meta: META, gates: { voidBlocks: [], noiseFloor: 'not measured' }, experiments };
}
