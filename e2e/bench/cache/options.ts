import { parseArgs } from 'node:util';
import type { RowOptions } from '../options.js';
import { ROW_FLAGS, rowOptionsOf, usageOf } from '../options.js';
import type { RowId } from './rows.js';
import { ROW_IDS } from './rows.js';

export type Options = RowOptions<RowId>;

const BENCH = { command: 'bench:cache', rowIds: ROW_IDS, roundsMin: 7, page: 'docs/benchmarks/cache.md' };

export const USAGE = usageOf(BENCH);

/** @throws Error with one sentence */
export function parseOptions(args: readonly string[]): Options {
  return rowOptionsOf(BENCH, parseArgs({ args: [...args], options: ROW_FLAGS }).values);
}
