import { parseArgs } from 'node:util';
import type { RowOptions } from '../options.js';
import { ROW_FLAGS, rowOptionsOf, usageOf } from '../options.js';
import { readRun, type MeasuredRun } from './measured-run.js';
import type { RowId } from './rows/rows.js';
import { ROW_IDS } from './rows/rows.js';

export interface Options extends RowOptions<RowId> {
  /** Earlier runs, whose rounds count as well. */
  readonly earlier: readonly MeasuredRun[];
}

const BENCH = { command: 'bench:messaging', rowIds: ROW_IDS, roundsMin: 5, page: 'docs/benchmarks/messaging.md' };

export const USAGE = usageOf(BENCH, {
  flags: ' [--with <raw rounds>]…',
  lines: `
  --with        raw rounds of an earlier run, counted as well; may be repeated; with --rounds 0 nothing else is`,
});

/** @throws Error with one sentence */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({ args: [...args], options: { ...ROW_FLAGS, with: { type: 'string', multiple: true } } });
  const earlier = (values.with ?? []).map(readRun);
  const wholeRuns = earlier.filter(({ samples }) => ROW_IDS.every((id) => samples.some(({ row }) => row === id)));
  return {
    ...rowOptionsOf(
      BENCH,
      values,
      wholeRuns.reduce((sum, { rounds }) => sum + rounds, 0),
    ),
    earlier,
  };
}
