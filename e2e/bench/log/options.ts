import { randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import type { RowId } from './rows.js';
import { ROW_IDS } from './rows.js';

export interface Options {
  readonly rows: readonly RowId[];
  readonly rounds: number;
  readonly seed: number;
  readonly directory: string;
  readonly updatePage: boolean;
}

export const USAGE = `Usage: npm run bench:log -- [--only <row>[,<row>…]] [--rounds <n>] [--seed <n>] [--directory <path>] [--update-page]
  rows: ${ROW_IDS.join(', ')}; default: all
  --rounds      default 7; the medians of fewer mean little
  --seed        of the order of the arms; default: a random one, which is printed
  --directory   where it makes a directory for its files, up to 700 MB: the disk that is measured; default: ${tmpdir()}
  --update-page puts the figures into docs/benchmarks/log.md; for a quiet machine, all rows and at least 7 rounds`;

/** @throws Error with one sentence */
export function parseOptions(args: readonly string[]): Options {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { only: text, rounds: text, seed: text, directory: text, 'update-page': { type: 'boolean' } },
  });
  const rounds = wholeNumber('--rounds', values.rounds ?? '7', 1, 100);
  const seed = wholeNumber('--seed', values.seed ?? String(randomInt(2 ** 31)), 0, 2 ** 31 - 1);
  const updatePage = values['update-page'] ?? false;
  if (updatePage && (values.only !== undefined || rounds < 7)) throw new Error('--update-page wants all rows, and at least 7 rounds');
  const rows = values.only === undefined ? ROW_IDS : values.only.split(',').map(rowOf);
  return { rows, rounds, seed, directory: values.directory ?? tmpdir(), updatePage };
}

function rowOf(text: string): RowId {
  const row = ROW_IDS.find((id) => id === text);
  if (!row) throw new Error(`there is no row ${text}; there are ${ROW_IDS.join(', ')}`);
  return row;
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < min || value > max)
    throw new Error(`${name} must be a whole number from ${min} to ${max}, is ${text}`);
  return value;
}
