import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { profile } from '@diptych/testing';
import type { LabContext } from './experiments/context.js';
import { crash, CRASH_SIZES, CRASHES, secondsPerCrash } from './experiments/crash.js';
import { footprint } from './experiments/footprint.js';
import { hopTax } from './experiments/hop-tax.js';
import { costLadder, LADDER_SIZES, ladderSeconds } from './experiments/ladder/cost-ladder.js';
import { PANEL_SIZES, panelRuns, secondsPerRun } from './experiments/panel-runs.js';
import { conclude, EXIT_CODES } from './conclusion.js';
import { describeRun } from './manifest.js';
import { Progress } from './progress.js';
import type { Experiment, LabReport, VoidBlock } from './results.js';
import { arms } from './start-arm.js';
import { printTable } from './report/terminal.js';
import { writeReport } from './report/write-report.js';

/**
 * The first honest comparison: hop tax, footprint, crash and cost ladder, in about four minutes. Ctrl-C ends what it started and keeps what
 * was measured.
 *
 * @returns 0, 1 or 2: what was expected holds, does not, or cannot be said
 */
export async function compare(options: { seed: number | undefined; outDir: string | undefined }): Promise<number> {
  const startedMs = systemClock.nowMs();
  const startedAt = new Date();
  const seed = options.seed ?? Math.floor(Math.random() * 1_000_000_000);
  const runDir = options.outDir ?? join('results', 'compare', startedAt.toISOString().replaceAll(':', '-').slice(0, 19));
  mkdirSync(runDir, { recursive: true });
  const stop = new AbortController();
  const onSignal = () => stop.abort(new Error('interrupted'));
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  const cores = profile();
  const progress = new Progress(expectedSeconds());
  const voidBlocks: VoidBlock[] = [];
  const lab: LabContext = { seed, startArm: arms(cores), profile: cores, signal: stop.signal, progress, runDir, voidBlocks };
  const experiments: Experiment[] = [];
  let interrupted: string | undefined;
  try {
    progress.note(`seed ${seed}; ${cores.words}; results go to ${runDir}`);
    const runs = await panelRuns(lab, ['monolith', 'services'], PANEL_SIZES);
    experiments.push(hopTax(runs), footprint(runs));
    if (!stop.signal.aborted) experiments.push(await costLadder(lab));
    if (!stop.signal.aborted) experiments.push(await crash(lab));
    if (stop.signal.aborted) interrupted = 'stopped by a signal';
  } catch (error) {
    // What was measured before is kept; the reason is printed and makes this a run that cannot say.
    interrupted = stop.signal.aborted
      ? 'stopped by a signal'
      : `an experiment failed: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    progress.end();
    process.removeListener('SIGINT', onSignal);
    process.removeListener('SIGTERM', onSignal);
  }
  const meta = describeRun({ command: 'compare', seed, startedAt, seconds: (systemClock.nowMs() - startedMs) / 1000, profile: cores });
  const report: LabReport = {
    format: 'lab-report/1',
    meta,
    gates: { voidBlocks },
    experiments,
    ...(interrupted !== undefined && { interrupted }),
  };
  const conclusion = conclude(report);
  printTable(report, conclusion, process.stdout);
  const files = writeReport(report, conclusion, runDir);
  process.stdout.write(`\nreport   ${files.html}\nresults  ${files.json}\n`);
  return EXIT_CODES[conclusion.outcome];
}

function expectedSeconds(): number {
  return PANEL_SIZES.blocks * 2 * secondsPerRun(PANEL_SIZES) + ladderSeconds(LADDER_SIZES) + CRASHES.length * secondsPerCrash(CRASH_SIZES);
}
