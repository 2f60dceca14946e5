import { randomInt } from 'node:crypto';

/** What every benchmark that is made of rows lets one choose. */
export interface RowOptions<Id extends string> {
  readonly rows: readonly Id[];
  readonly rounds: number;
  readonly seed: number;
  readonly updatePage: boolean;
}

/** A benchmark by its npm script, its rows, and the fewest rounds whose medians may be published. */
export interface RowBench<Id extends string> {
  readonly command: string;
  readonly rowIds: readonly Id[];
  readonly roundsMin: number;
  /** The page that `--update-page` writes. */
  readonly page: string;
}

const text = { type: 'string' } as const;

/** For `parseArgs`; a benchmark adds its own beside them. */
export const ROW_FLAGS = { only: text, rounds: text, seed: text, 'update-page': { type: 'boolean' } } as const;

/** @param own what the benchmark adds: its flags in short, and their lines */
export function usageOf<Id extends string>({ command, rowIds, roundsMin, page }: RowBench<Id>, own = { flags: '', lines: '' }): string {
  return `Usage: npm run ${command} -- [--only <row>[,<row>…]] [--rounds <n>] [--seed <n>]${own.flags} [--update-page]
  rows: ${rowIds.join(', ')}; default: all
  --rounds      default ${roundsMin}; the medians of fewer mean little
  --seed        of all that is drawn by lot; default: a random one, which is printed${own.lines}
  --update-page puts the figures into ${page}; for a quiet machine, all rows and at least ${roundsMin} rounds`;
}

interface RowValues {
  readonly only?: string | undefined;
  readonly rounds?: string | undefined;
  readonly seed?: string | undefined;
  readonly 'update-page'?: boolean | undefined;
}

/**
 * @param earlierRounds rounds of earlier runs that count as well
 * @throws Error with one sentence
 */
export function rowOptionsOf<Id extends string>({ rowIds, roundsMin }: RowBench<Id>, values: RowValues, earlierRounds = 0): RowOptions<Id> {
  const rounds = wholeNumber('--rounds', values.rounds ?? String(roundsMin), earlierRounds > 0 ? 0 : 1, 100);
  const seed = wholeNumber('--seed', values.seed ?? String(randomInt(2 ** 31)), 0, 2 ** 31 - 1);
  const updatePage = values['update-page'] ?? false;
  if (updatePage && (values.only !== undefined || rounds + earlierRounds < roundsMin))
    throw new Error(`--update-page wants all rows, and at least ${roundsMin} rounds`);
  const rowOf = (name: string): Id => {
    const row = rowIds.find((id) => id === name);
    if (!row) throw new Error(`there is no row ${name}; there are ${rowIds.join(', ')}`);
    return row;
  };
  return { rows: values.only === undefined ? rowIds : values.only.split(',').map(rowOf), rounds, seed, updatePage };
}

function wholeNumber(name: string, given: string, min: number, max: number): number {
  const value = Number(given);
  if (given.trim() === '' || !Number.isSafeInteger(value) || value < min || value > max)
    throw new Error(`${name} must be a whole number from ${min} to ${max}, is ${given}`);
  return value;
}
