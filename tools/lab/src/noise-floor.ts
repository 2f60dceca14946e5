import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { PANEL_MEASUREMENT } from './experiments/panel-runs.js';
import { hashOf } from './manifest.js';
import type { Contrast, Meta } from './results.js';
import { halfWidthOf, type Floor } from './statistics/verdict.js';

/**
 * What this machine makes of the monolith beside itself (A/A), measured by `npm run lab -- selfcheck` and kept under `results/`, which git ignores.
 * A difference that the monolith shows to itself is no difference between arms.
 */
export interface NoiseFloor {
  readonly format: 'lab-noise-floor/1';
  readonly machine: Meta['machine'];
  readonly profile: string;
  readonly measuredAt: string;
  readonly commit: string;
  /** Of how a run is measured: a floor holds for figures that are got in the same way. */
  readonly measurement: string;
  readonly blocks: number;
  readonly metrics: Readonly<Record<string, { readonly halfWidth: number; readonly refused: boolean }>>;
}

/** @param rounds the contrasts of each A/A comparison; a metric that was called different in two of them is refused */
export function noiseFloorOf(meta: Meta, rounds: ReadonlyArray<readonly Contrast[]>): NoiseFloor {
  const metrics: Record<string, { halfWidth: number; refused: boolean }> = {};
  for (const { metric } of rounds[0] ?? []) {
    const measured = rounds.flatMap((round) => round.filter((each) => each.metric === metric && Number.isFinite(each.low)));
    if (measured.length === 0) continue;
    metrics[metric] = { halfWidth: Math.max(...measured.map(halfWidthOf)), refused: measured.filter(excludesNoDifference).length >= 2 };
  }
  return {
    format: 'lab-noise-floor/1',
    machine: meta.machine,
    profile: meta.profile,
    measuredAt: meta.startedAt,
    commit: meta.commit,
    measurement: hashOf(PANEL_MEASUREMENT),
    blocks: rounds[0]?.[0]?.blocks ?? 0,
    metrics,
  };
}

export function excludesNoDifference({ scale, low, high }: Pick<Contrast, 'scale' | 'low' | 'high'>): boolean {
  const none = scale === 'ratio' ? 1 : 0;
  return low > none || high < none;
}

/** One file a machine, named by what makes its figures comparable. */
function fileOf({ machine, profile }: Pick<Meta, 'machine' | 'profile'>): string {
  const key = createHash('sha256')
    .update(JSON.stringify([hostname(), machine.cpu, machine.cores, machine.memoryBytes, machine.platform, profile]))
    .digest('hex')
    .slice(0, 12);
  return join('results', 'noise-floor', `${key}.json`);
}

/** @returns where it is kept */
export function saveNoiseFloor(meta: Meta, floor: NoiseFloor): string {
  const file = fileOf(meta);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(floor, null, 1)}\n`);
  return file;
}

/** What is known of this machine's noise, and how to say it. */
export interface KnownNoise {
  readonly words: string;
  of(metric: string): Floor;
}

export function readNoiseFloor(meta: Pick<Meta, 'machine' | 'profile'>): KnownNoise {
  const file = fileOf(meta);
  if (!existsSync(file))
    return unknownNoise('not measured on this machine; margins are as declared (npm run lab -- selfcheck measures it)');
  return asKnown(JSON.parse(readFileSync(file, 'utf8')) as NoiseFloor);
}

export function asKnown(floor: NoiseFloor): KnownNoise {
  if (floor.format !== 'lab-noise-floor/1' || floor.measurement !== hashOf(PANEL_MEASUREMENT))
    return unknownNoise(
      'measured in another way than runs are now, so not used; margins are as declared (npm run lab -- selfcheck measures it anew)',
    );
  const refused = Object.entries(floor.metrics).filter(([, metric]) => metric.refused);
  return {
    words:
      `the monolith beside itself, ${floor.blocks} blocks, ${floor.measuredAt.slice(0, 10)}; margins are at least half of its interval` +
      (refused.length === 0
        ? ''
        : `; refused, because it was called different from itself twice: ${refused.map(([name]) => name).join(', ')}`),
    of: (metric) => {
      const known = floor.metrics[metric];
      return {
        halfWidth: known?.halfWidth,
        refused: known?.refused ? 'on this machine the monolith was called different from itself in it, twice' : undefined,
      };
    },
  };
}

export function unknownNoise(words: string): KnownNoise {
  return { words, of: () => ({}) };
}
