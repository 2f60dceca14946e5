import { readFileSync } from 'node:fs';
import { machine } from '../figures.js';
import type { Facts, Sample } from './bench-run.js';
import { ROW_IDS } from './rows/rows.js';

/** What a run leaves behind: its raw rounds, and what a reader needs beside them. */
export interface MeasuredRun {
  /** When it ended. */
  readonly at: string;
  readonly commit: string;
  readonly seed: number;
  readonly rounds: number;
  readonly facts: Facts;
  readonly samples: readonly Sample[];
}

/** @throws Error with one sentence, when the file is none of `results/messaging`, or was measured on another machine */
export function readRun(file: string): MeasuredRun {
  let run: Partial<MeasuredRun & { cpu: string; cpus: number; node: string }>;
  try {
    run = JSON.parse(readFileSync(file, 'utf8')) as typeof run;
  } catch (error) {
    throw new Error(`--with wants raw rounds of an earlier run, and cannot read ${file}: ${String(error)}`, { cause: error });
  }
  const { at, commit, seed, rounds, facts, samples } = run;
  if (!at || !commit || seed === undefined || !rounds || !facts || !Array.isArray(samples))
    throw new Error(`--with wants raw rounds of an earlier run, which ${file} does not hold`);
  const { cpu, cpus } = machine();
  if (run.cpu !== cpu || run.cpus !== cpus || run.node !== process.version)
    throw new Error(`${file} was measured with ${run.cpus} cores of ${run.cpu} and Node ${run.node}, and here are others`);
  return { at, commit, seed, rounds, facts, samples };
}

/** How many rounds, of which rows if not of all, and what repeats them. */
export function wordsOf({ rounds, samples, seed, commit }: MeasuredRun): string {
  const measured = ROW_IDS.filter((id) => samples.some(({ row }) => row === id));
  const of = measured.length === ROW_IDS.length ? '' : ` of ${measured.join(', ')}`;
  return `${rounds} rounds${of} (seed ${seed}, commit ${commit.slice(0, 12)})`;
}

/** The rounds of all runs, as if they were of one. */
export function samplesOf(runs: readonly MeasuredRun[]): Sample[] {
  let before = 0;
  return runs.flatMap(({ rounds, samples }) => {
    const from = before;
    before += rounds;
    return samples.map((sample) => ({ ...sample, round: from + sample.round }));
  });
}
