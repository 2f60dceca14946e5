import { systemClock } from '@diptych/kernel';
import { profile } from '@diptych/testing';
import { join } from 'node:path';
import { conclude, EXIT_CODES } from '../conclusion.js';
import { MachineGate } from '../gates.js';
import { interruption } from '../interruption.js';
import { describeRun } from '../manifest.js';
import { Progress } from '../progress.js';
import { printTable } from '../report/terminal.js';
import { writeReport } from '../report/write-report.js';
import type { Experiment, LabReport } from '../results.js';
import { beginRunDirectory, writeWhole } from '../run-directory.js';
import type { StartFleet } from './fleet.js';
import { RUNTIMES, type RuntimeName } from './runtimes.js';

export interface ScalingOptions {
  readonly seed: number | undefined;
  readonly outDir: string | undefined;
  /** Of the experiments. */
  readonly name: string;
  /** Default 1: indicative. */
  readonly blocks: number | undefined;
  /** Default: plain processes. */
  readonly runtime?: RuntimeName | undefined;
}

/** What an experiment of scaling is given. */
export interface ScalingLab {
  readonly seed: number;
  readonly blocks: number;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  readonly runDir: string;
  readonly startFleet: StartFleet;
  /**
   * Measures something with the machine watched, as `compare` watches it. All that it started has to have ended when it resolves.
   *
   * @param options `stealJudged` false: stolen time is left to who measures
   * @returns what it measured, and why that is not to be believed, if so
   */
  watched<T>(
    measure: () => Promise<T>,
    options?: { stealJudged: boolean },
  ): Promise<{ readonly measured: T; readonly disturbed: string | undefined }>;
  /** Keeps what was measured so far, in full, beside the report. */
  keep(measured: unknown): void;
}

export interface ScalingExperiment<Measured> {
  readonly plan: object;
  readonly secondsABlock: number;
  /** With more of its runs disturbed, it cannot say anything. */
  readonly disturbedShareMax: number;
  /** What its instances can run in. */
  readonly runtimes: readonly RuntimeName[];
  measure(lab: ScalingLab): Promise<Measured>;
  describe(measured: Measured): Experiment;
}

/**
 * Runs one experiment of scaling and writes its table, results and page.
 *
 * @returns 0, 1 or 2: nothing forbidden was seen, something was, or it cannot be said
 * @throws Error with one sentence when what its instances run in is not here: no balancer, no quotas, no container engine
 */
export async function runScaling<Measured>(experiment: ScalingExperiment<Measured>, options: ScalingOptions): Promise<number> {
  const { runtime = 'process' } = options;
  if (!experiment.runtimes.includes(runtime))
    throw new TypeError(`${options.name} runs with --runtime ${experiment.runtimes.join(', ')} only`);
  const running = await RUNTIMES[runtime]().catch((error: unknown) => {
    throw new Error(`${options.name} cannot run: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  });
  const startedMs = systemClock.nowMs();
  const seed = options.seed ?? Math.floor(Math.random() * 1_000_000_000);
  const blocks = options.blocks ?? 1;
  const cores = {
    ...profile(),
    words: `system on all cores, ${running.words}; generator on the last core, shared`,
  };
  const plan = { ...experiment.plan, blocks, ...(runtime === 'docker' && { runtime }) };
  const meta = describeRun({
    command: `lab -- run ${options.name}`,
    seed,
    options: ` --blocks ${blocks}${runtime === 'docker' ? ' --runtime docker' : ''}`,
    startedAt: new Date(),
    profile: cores,
    plan,
  });
  const runDir = beginRunDirectory(options.name, options.outDir, meta, plan);
  const progress = new Progress(experiment.secondsABlock * blocks);
  using interrupt = interruption((line) => progress.note(line));
  progress.note(`seed ${seed}; ${cores.words}; results go to ${runDir}`);
  let kept: Measured | undefined;
  const keep = (measured: unknown) => {
    kept = measured as Measured;
    writeWhole(join(runDir, 'measured.json'), `${JSON.stringify(measured, null, 1)}\n`);
  };
  const watched = watchedBy(machineGate(runtime), progress);
  let failed: string | undefined;
  try {
    const { startFleet } = running;
    keep(await experiment.measure({ seed, blocks, signal: interrupt.signal, progress, runDir, startFleet, watched, keep }));
  } catch (error) {
    failed = interrupt.signal.aborted
      ? 'stopped by a signal'
      : `the experiment failed: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    progress.end();
  }
  const experiments = kept === undefined ? [] : [experiment.describe(kept)];
  const runs = experiments.flatMap((each) => each.runs);
  // Figures of a machine that others use up are kept and shown, and say nothing.
  failed ??= tooManyDisturbed(runs, experiment.disturbedShareMax);
  const report: LabReport = {
    format: 'lab-report/1',
    meta: { ...meta, seconds: Math.round((systemClock.nowMs() - startedMs) / 1000) },
    gates: { voidBlocks: [], noiseFloor: 'not used: nothing is compared in pairs' },
    experiments,
    ...(failed !== undefined && { interrupted: failed }),
  };
  const conclusion = conclude(report);
  printTable(report, conclusion, process.stdout);
  const files = writeReport(report, conclusion, runDir);
  process.stdout.write(`\nreport   ${files.html}\nresults  ${files.json}\n`);
  return EXIT_CODES[conclusion.outcome];
}

/** Why a report says nothing, if so. */
export function tooManyDisturbed(runs: ReadonlyArray<{ readonly valid: boolean }>, shareMax: number): string | undefined {
  const disturbed = runs.filter(({ valid }) => !valid).length;
  if (disturbed <= runs.length * shareMax) return undefined;
  return `${disturbed} of ${runs.length} runs were disturbed, and ${shareMax === 0 ? 'none' : `no more than ${shareMax * 100} %`} may be`;
}

/** Containers are no children of this process, so what they use cannot be told from what others do: then only a fixed job tells of the machine. */
function machineGate(runtime: RuntimeName): MachineGate {
  return new MachineGate(runtime === 'docker' ? { ownMs: () => undefined } : {});
}

function watchedBy(machine: MachineGate, progress: Progress): ScalingLab['watched'] {
  return async (measure, options) => {
    machine.begin();
    const measured = await measure();
    const disturbed = machine.end(options);
    if (disturbed !== undefined) progress.note(`  disturbed: ${disturbed}`);
    return { measured, disturbed };
  };
}
