import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import type { RowOptions } from '../options.js';
import { ROW_FLAGS, rowOptionsOf, usageOf } from '../options.js';
import type { RowId } from './rows.js';
import { ROW_IDS } from './rows.js';

export interface Options extends RowOptions<RowId> {
  readonly directory: string;
}

const BENCH = { command: 'bench:log', rowIds: ROW_IDS, roundsMin: 7, page: 'docs/benchmarks/log.md' };

export const USAGE = usageOf(BENCH, {
  flags: ' [--directory <path>]',
  lines: `
  --directory   where it makes a directory for its files, up to 700 MB: the disk that is measured; default: ${tmpdir()}`,
});

/** @throws Error with one sentence */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({ args: [...args], options: { ...ROW_FLAGS, directory: { type: 'string' } } });
  return { ...rowOptionsOf(BENCH, values), directory: values.directory ?? tmpdir() };
}
