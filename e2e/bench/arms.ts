import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { RowOptions } from './options.js';
import { machine, writeResults } from './figures.js';
import type { Sample } from './messaging/bench-run.js';
import { updatePage } from './messaging/page.js';
import type { Table, Verdict } from './messaging/report.js';
import { asMarkdown, asText, figuresTable, judge, reasonsOf, verdictsTable } from './messaging/report.js';
import type { Row } from './messaging/rows/rows.js';

/*
 * What benchmarks share whose arms are programs that print their figures.
 */

/** @returns the exit code: what `run` answers, or 2 when it could not be measured */
export async function runBench(usage: string, run: (args: readonly string[], ended: AbortSignal) => Promise<number>): Promise<number> {
  if (process.argv.includes('--help')) {
    console.log(usage);
    return 0;
  }
  const ended = new AbortController();
  const stop = () => ended.abort(new Error('interrupted'));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    return await run(process.argv.slice(2), ended.signal);
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
}

/** In a fresh process, as in production. `main` prints one line of JSON. */
export async function runArm<T = Record<string, number>>(main: URL, args: readonly string[], signal: AbortSignal): Promise<T> {
  const env = { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' };
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', fileURLToPath(main), ...args], { env, signal });
  return JSON.parse(stdout) as T;
}

export function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

/**
 * Prints and keeps what was measured, and puts it into the benchmark's page when that is asked for.
 *
 * @param otherPage another page that shows the figures of some of the rows
 * @returns the exit code
 */
export function conclude<RowId extends string>(
  benchmark: string,
  options: RowOptions<RowId>,
  allRows: ReadonlyArray<Row<RowId>>,
  samples: readonly Sample[],
  tookMs: number,
  otherPage?: { readonly page: string; readonly rows: readonly RowId[] },
): number {
  const { seed, rounds } = options;
  const rows = allRows.filter(({ id }) => options.rows.includes(id));
  const verdicts = rows.flatMap((row) => judge(row, samples));
  for (const row of rows) console.log(`\n${row.title}\n${asText(figuresTable(row, samples))}`);
  console.log(`\n${[asText(verdictsTable(verdicts)), ...reasonsOf(verdicts)].join('\n\n')}`);
  const at = new Date().toISOString();
  const file = writeResults(benchmark, at, { seed, rounds, tookMs, verdicts, samples });
  console.log(`raw rounds: ${file} (${(tookMs / 1_000).toFixed(0)} s)`);
  if (options.updatePage) {
    console.log(`written: ${updatePage(benchmark, pageText(options, at, rows, samples, verdicts))}`);
    const shown = rows.filter(({ id }) => otherPage?.rows.includes(id));
    const text = [factsOf(options, at), ...shown.map((row) => asMarkdown(figuresTable(row, samples)))].join('\n\n');
    if (otherPage) console.log(`written: ${updatePage(benchmark, text, otherPage.page)}`);
  }
  const missed = verdicts.filter(({ passed }) => passed === false);
  console.log(missed.length === 0 ? 'all bars met' : `${missed.length} of ${verdicts.length} bars MISSED`);
  return missed.length === 0 ? 0 : 1;
}

function factsOf({ seed, rounds }: RowOptions<string>, at: string): string {
  const { cpu, cpus } = machine();
  return `${at.slice(0, 10)}, ${cpus} cores of ${cpu}, Node ${process.version}, ${rounds} rounds, seed ${seed}.`;
}

function pageText<RowId extends string>(
  options: RowOptions<RowId>,
  at: string,
  rows: ReadonlyArray<Row<RowId>>,
  samples: readonly Sample[],
  verdicts: readonly Verdict[],
): string {
  const titled = (title: string, table: Table) => `### ${title}\n\n${asMarkdown(table)}`;
  return [
    factsOf(options, at),
    titled('The bars', verdictsTable(verdicts)),
    ...reasonsOf(verdicts),
    ...rows.map((row) => titled(row.title.charAt(0).toUpperCase() + row.title.slice(1), figuresTable(row, samples))),
  ].join('\n\n');
}
