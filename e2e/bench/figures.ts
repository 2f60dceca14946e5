import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { WORKSPACE } from '@diptych/testing';

/** @returns NaN for no values */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function machine(): { cpu: string; cpus: number } {
  return { cpu: cpus()[0]?.model ?? 'unknown', cpus: cpus().length };
}

/** Of what is measured; `unknown` outside of a repository. */
export function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: WORKSPACE, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

/** Writes what a run has measured into `results`, which git ignores. @returns the file, from the root of the workspace */
export function writeResults(benchmark: string, at: string, results: object): string {
  const folder = `results/${benchmark}`;
  const file = `${folder}/${at.replaceAll(':', '-')}.json`;
  mkdirSync(`${WORKSPACE}/${folder}`, { recursive: true });
  writeFileSync(
    `${WORKSPACE}/${file}`,
    `${JSON.stringify({ at, commit: commit(), ...machine(), node: process.version, ...results }, undefined, 1)}\n`,
  );
  return file;
}
