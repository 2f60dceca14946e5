import { commit, machine, writeResults } from '../figures.js';
import type { Job, Sample } from './bench-run.js';
import { BenchRun } from './bench-run.js';
import { samplesOf, wordsOf, type MeasuredRun } from './measured-run.js';
import type { Options } from './options.js';
import { parseOptions, USAGE } from './options.js';
import { updatePage } from './page.js';
import { ABOUT, PEERS } from './peers/peer.js';
import type { PeerName } from './peers/peer.js';
import type { Table, Verdict } from './report.js';
import { asMarkdown, asText, figuresTable, judge, reasonsOf, verdictsTable } from './report.js';
import { arrivalsJobs } from './rows/arrivals-row.js';
import { callsJobs } from './rows/calls.js';
import { httpJobs } from './rows/http.js';
import { oneCallerJobs } from './rows/one-caller.js';
import type { RowId } from './rows/rows.js';
import { ROWS } from './rows/rows.js';

/*
 * Question: what does a call cost by how it gets there, and is ours as much cheaper than those of others as its bars say?
 *
 * Method: docs/benchmarks/messaging.md. In short: each arm in fresh processes each round, arms of a row one after the other in random order,
 * medians of the rounds compared, answers checked. Rounds of earlier runs may count as well.
 *
 * Exit code: 0 when all bars are met, 1 when one is missed, 2 when it could not be measured.
 */
let interrupted = false;

process.exitCode = await main().catch((error: Error) => {
  if (interrupted) return 130;
  console.error(error.message);
  return 2;
});

async function main(): Promise<number> {
  if (process.argv.includes('--help')) {
    console.log(USAGE);
    return 0;
  }
  const options = parseOptions(process.argv.slice(2));
  await using run = new BenchRun(options.seed);
  const stop = () => {
    interrupted = true;
    void run[Symbol.asyncDispose]().then(() => process.exit(130));
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const beganMs = performance.now();
  console.log(
    `${options.rounds} rounds, seed ${options.seed} (repeat with --seed ${options.seed}); ${run.cores.words} where arms are pinned`,
  );
  const samples = options.rounds > 0 ? await measureAll(run, options) : [];
  return conclude(run, options, samples, performance.now() - beganMs);
}

async function measureAll(run: BenchRun, { rows, rounds }: Options): Promise<Sample[]> {
  const wanted = (row: string) => rows.includes(row as RowId);
  const groups: Job[][] = [
    oneCallerJobs(run, Object.keys(PEERS) as PeerName[], wanted),
    wanted('arrivals') ? await arrivalsJobs(run) : [],
    wanted('http') ? httpJobs(run) : [],
    wanted('calls') ? callsJobs(run) : [],
  ];
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    const beganMs = performance.now();
    for (const jobs of run.shuffled(groups)) {
      for (const { arm, run: measure } of run.shuffled(jobs))
        for (const measured of await measure(round)) samples.push({ round, arm, ...measured });
    }
    console.log(`round ${round} of ${rounds}: ${((performance.now() - beganMs) / 1_000).toFixed(0)} s`);
  }
  return samples;
}

function conclude(run: BenchRun, options: Options, measured: readonly Sample[], tookMs: number): number {
  const at = new Date().toISOString();
  const { seed, rounds, earlier } = options;
  const runs: MeasuredRun[] = [...earlier];
  if (rounds > 0) runs.push({ at, commit: commit(), seed, rounds, facts: run.facts, samples: measured });
  const samples = samplesOf(runs);
  const rows = ROWS.filter(({ id }) => options.rows.includes(id));
  const verdicts = rows.flatMap((row) => judge(row, samples));
  for (const row of rows) console.log(`\n${row.title}\n${asText(figuresTable(row, samples))}`);
  console.log(`\n${[asText(verdictsTable(verdicts)), ...reasonsOf(verdicts), facts(run, runs)].join('\n\n')}`);
  if (rounds > 0) {
    const file = writeResults('messaging', at, { seed, rounds, tookMs, cores: run.cores, facts: run.facts, verdicts, samples: measured });
    console.log(`raw rounds: ${file} (${(tookMs / 1_000).toFixed(0)} s)`);
  }
  if (options.updatePage) console.log(`written: ${updatePage('messaging', pageText(run, runs, rows, samples, verdicts))}`);
  const missed = verdicts.filter(({ passed }) => passed === false);
  console.log(missed.length === 0 ? 'all bars met' : `${missed.length} of ${verdicts.length} bars MISSED`);
  return missed.length === 0 ? 0 : 1;
}

function pageText(
  run: BenchRun,
  runs: readonly MeasuredRun[],
  rows: typeof ROWS,
  samples: readonly Sample[],
  verdicts: readonly Verdict[],
): string {
  const { cpu, cpus } = machine();
  const titled = (title: string, table: Table) => `### ${title}\n\n${asMarkdown(table)}`;
  return [
    `${runs.at(-1)!.at.slice(0, 10)}, ${cpus} cores of ${cpu}, Node ${process.version}. ${facts(run, runs)}`,
    titled('The bars', verdictsTable(verdicts)),
    ...reasonsOf(verdicts),
    ...rows.map((row) => titled(row.title.charAt(0).toUpperCase() + row.title.slice(1), figuresTable(row, samples))),
  ].join('\n\n');
}

/** What a reader has to know beside the figures. */
function facts({ cores }: BenchRun, runs: readonly MeasuredRun[]): string {
  const brokers = [...new Set(runs.flatMap(({ facts: { natsServer } }) => natsServer ?? []))];
  const arrivals = runs.flatMap(({ facts: { arrivals: each } }) => {
    if (!each) return [];
    const peaks = Object.entries(each.peaksPerSecond).map(([peer, peak]) => `${ABOUT[peer as PeerName].title} ${Math.round(peak)}`);
    return [`${Math.round(each.ratePerSecond)} calls/s (peaks of the others: ${peaks.join(', ')})`];
  });
  return [
    `Medians of ${runs.map(wordsOf).join('; ')}.`,
    `nats-server ${brokers.join(', ') || 'not asked for its version'}; pinned arms: ${cores.words}.`,
    ...(arrivals.length > 0 ? [`Arrivals: ${arrivals.join('; ')}.`] : []),
  ].join(' ');
}
