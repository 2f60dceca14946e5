import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { ROW_IDS } from './rows/rows.js';
import type { RowId } from './rows/rows.js';

export interface Options {
  readonly rows: readonly RowId[];
  readonly rounds: number;
  readonly seed: number;
  readonly updatePage: boolean;
}

export const USAGE = `Usage: npm run bench:messaging -- [--only <row>[,<row>…]] [--rounds <n>] [--seed <n>] [--update-page]
  rows: ${ROW_IDS.join(', ')}; default: all
  --rounds      default 5; the medians of fewer mean little
  --seed        of the order of the arms and of the arrivals; default: a random one, which is printed
  --update-page puts the figures into docs/benchmarks/messaging.md; for a quiet machine, all rows and at least 5 rounds`;

/** @throws Error with one sentence */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: { only: { type: 'string' }, rounds: { type: 'string' }, seed: { type: 'string' }, 'update-page': { type: 'boolean' } },
  });
  const rounds = wholeNumber('--rounds', values.rounds ?? '5', 1, 100);
  const rows = values.only === undefined ? ROW_IDS : values.only.split(',').map(rowOf);
  const updatePage = values['update-page'] ?? false;
  if (updatePage && (values.only !== undefined || rounds < 5)) throw new Error('--update-page wants all rows, and at least 5 rounds');
  return { rows, rounds, seed: wholeNumber('--seed', values.seed ?? String(randomInt(2 ** 31)), 0, 2 ** 31 - 1), updatePage };
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
