import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { seededRandom } from '@diptych/testing';
import { machine, writeResults } from '../figures.js';
import type { Sample } from '../messaging/bench-run.js';
import { updatePage } from '../messaging/page.js';
import type { Table, Verdict } from '../messaging/report.js';
import { asMarkdown, asText, figuresTable, judge, reasonsOf, verdictsTable } from '../messaging/report.js';
import type { Options } from './options.js';
import { parseOptions, USAGE } from './options.js';
import type { ArmOf, LogRow } from './rows.js';
import { FILLED_KEYS, ROWS } from './rows.js';

/*
 * Question: what does the log cost beside bare loops that move the same bytes with the same asynchronous calls?
 *
 * Method: docs/benchmarks/log.md. In short: each arm in a fresh process each round, the arms of a row one after the other in random order,
 * medians of the rounds compared, results checked.
 *
 * Exit code: 0 when all bars are met, 1 when one is missed, 2 when it could not be measured.
 */
process.exitCode = await main().catch((error: Error) => {
  console.error(error.message);
  return 2;
});

async function main(): Promise<number> {
  if (process.argv.includes('--help')) {
    console.log(USAGE);
    return 0;
  }
  const options = parseOptions(process.argv.slice(2));
  const directory = await mkdtemp(join(options.directory, 'bench-log-'));
  const ended = new AbortController();
  const stop = () => ended.abort(new Error('interrupted'));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const beganMs = performance.now();
  console.log(`${options.rounds} rounds, seed ${options.seed} (repeat with --seed ${options.seed})`);
  try {
    const samples = await measureAll(options, directory, ended.signal);
    return conclude(options, samples, performance.now() - beganMs);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measureAll({ rows, rounds, seed }: Options, directory: string, signal: AbortSignal): Promise<Sample[]> {
  const random = seededRandom(seed);
  const wanted = ROWS.filter(({ id }) => rows.includes(id));
  const filled = join(directory, 'filled');
  if (wanted.some(({ how }) => Object.values(how).some((arm) => arm.directory === 'filled')))
    await runArm({ program: 'fill', directory: 'filled', parameters: { keys: FILLED_KEYS } }, filled, signal);
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    const beganMs = performance.now();
    for (const row of shuffled(wanted, random))
      for (const [arm, how] of shuffled(Object.entries(row.how), random)) {
        const place = how.directory === 'filled' ? filled : join(directory, 'fresh');
        samples.push({ row: row.id, arm, round, figures: await runArm(how, place, signal) });
        if (how.directory === 'fresh') await rm(place, { recursive: true });
      }
    console.log(`round ${round} of ${rounds}: ${((performance.now() - beganMs) / 1_000).toFixed(0)} s`);
  }
  return samples;
}

/** In a fresh process, as in production. */
async function runArm({ program, parameters }: ArmOf, directory: string, signal: AbortSignal): Promise<Record<string, number>> {
  await mkdir(directory, { recursive: true });
  const file = fileURLToPath(new URL('./arm-main.js', import.meta.url));
  const args = ['--expose-gc', file, program, directory, JSON.stringify(parameters)];
  const env = { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' };
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, signal });
  return JSON.parse(stdout) as Record<string, number>;
}

function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

function conclude(options: Options, samples: readonly Sample[], tookMs: number): number {
  const { seed, rounds } = options;
  const rows = ROWS.filter(({ id }) => options.rows.includes(id));
  const verdicts = rows.flatMap((row) => judge(row, samples));
  for (const row of rows) console.log(`\n${row.title}\n${asText(figuresTable(row, samples))}`);
  console.log(`\n${[asText(verdictsTable(verdicts)), ...reasonsOf(verdicts)].join('\n\n')}`);
  const at = new Date().toISOString();
  const file = writeResults('log', at, { seed, rounds, tookMs, verdicts, samples });
  console.log(`raw rounds: ${file} (${(tookMs / 1_000).toFixed(0)} s)`);
  if (options.updatePage) console.log(`written: ${updatePage('log', pageText(options, at, rows, samples, verdicts))}`);
  const missed = verdicts.filter(({ passed }) => passed === false);
  console.log(missed.length === 0 ? 'all bars met' : `${missed.length} of ${verdicts.length} bars MISSED`);
  return missed.length === 0 ? 0 : 1;
}

function pageText(
  { seed, rounds }: Options,
  at: string,
  rows: readonly LogRow[],
  samples: readonly Sample[],
  verdicts: readonly Verdict[],
): string {
  const { cpu, cpus } = machine();
  const titled = (title: string, table: Table) => `### ${title}\n\n${asMarkdown(table)}`;
  return [
    `${at.slice(0, 10)}, ${cpus} cores of ${cpu}, Node ${process.version}, ${rounds} rounds, seed ${seed}.`,
    titled('The bars', verdictsTable(verdicts)),
    ...reasonsOf(verdicts),
    ...rows.map((row) => titled(row.title.charAt(0).toUpperCase() + row.title.slice(1), figuresTable(row, samples))),
  ].join('\n\n');
}
