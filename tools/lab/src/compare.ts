import { systemClock } from '@diptych/kernel';
import { profile } from '@diptych/testing';
import type { LabContext } from './experiments/context.js';
import { crash, CRASH_MEASUREMENT, CRASH_SIZES, CRASHES, secondsPerCrash } from './experiments/crash.js';
import { footprint, FOOTPRINT_MEASURES } from './experiments/footprint.js';
import { hopTax, HOP_TAX_MEASURES } from './experiments/hop-tax.js';
import { costLadder, LADDER_MEASUREMENT, LADDER_SIZES, ladderSeconds } from './experiments/ladder/cost-ladder.js';
import {
  PANEL_MEASUREMENT,
  PANEL_SIZES,
  PANEL_SIZES_IN_CONTAINERS,
  panelRuns,
  secondsPerRun,
  type PanelSizes,
} from './experiments/panel-runs.js';
import { conclude, EXIT_CODES } from './conclusion.js';
import { Containers } from './containers/container-arms.js';
import { LIMITS, limitsInWords } from './containers/limits.js';
import { interruption } from './interruption.js';
import { assertBroker, describeRun } from './manifest.js';
import { readNoiseFloor } from './noise-floor.js';
import { Progress } from './progress.js';
import type { Experiment, LabReport, VoidBlock } from './results.js';
import { beginRunDirectory } from './run-directory.js';
import { arms } from './start-arm.js';
import { correctPrimaries } from './statistics/holm.js';
import { printTable } from './report/terminal.js';
import { writeReport } from './report/write-report.js';

export interface CompareOptions {
  readonly seed: number | undefined;
  readonly outDir: string | undefined;
  /** Default 6. */
  readonly blocks: number | undefined;
  /** What the arms run in: plain processes (default), or containers with limits. */
  readonly runtime?: 'process' | 'docker' | undefined;
}

/** What is run; replaced in its own test. */
export interface Experiments {
  readonly panelRuns: typeof panelRuns;
  readonly costLadder: typeof costLadder;
  readonly crash: typeof crash;
}

const EXPERIMENTS: Experiments = { panelRuns, costLadder, crash };

/**
 * The first honest comparison: hop tax, footprint, cost ladder and crash, in less than five minutes with six blocks; in containers longer, and without the
 * ladder, whose rungs are processes. Ctrl-C ends what it started and keeps what was measured.
 *
 * @returns 0, 1 or 2: nothing forbidden was seen, something was, or it cannot be said
 */
export async function compare(options: CompareOptions, experiments: Experiments = EXPERIMENTS): Promise<number> {
  await using containers = options.runtime === 'docker' ? await Containers.build() : undefined;
  if (!containers) assertBroker();
  const startedMs = systemClock.nowMs();
  const { seed, sizes, meta, cores, plan } = described(options, containers);
  const noise = readNoiseFloor(meta);
  const runDir = beginRunDirectory('compare', options.outDir, meta, plan);

  const progress = new Progress(expectedSeconds(sizes, containers !== undefined));
  using interrupt = interruption((line) => progress.note(line));
  const voidBlocks: VoidBlock[] = [];
  const lab: LabContext = {
    seed,
    startArm: containers?.arms(cores, runDir) ?? arms(cores),
    profile: cores,
    signal: interrupt.signal,
    progress,
    runDir,
    voidBlocks,
    ...(containers && { signs: { ownMs: () => containers.ownMs } }),
  };
  progress.note(`seed ${seed}; ${cores.words}; results go to ${runDir}`);
  progress.note(`noise floor: ${noise.words}`);
  const done: Experiment[] = [];
  let refused: string | undefined;
  let failed: string | undefined;
  try {
    const panels = await experiments.panelRuns(lab, ['monolith', 'services'], sizes);
    ({ refused, failed } = panels);
    done.push(hopTax(panels, noise), footprint(panels, noise, containers?.quotas));
    if (!lab.signal.aborted && !containers) done.push(await experiments.costLadder(lab));
    if (!lab.signal.aborted) done.push(await experiments.crash(lab));
  } catch (error) {
    // What was measured before is kept; the reason is printed and makes this a run that cannot say.
    const later = `an experiment failed: ${error instanceof Error ? error.message : String(error)}`;
    failed = failed === undefined ? later : `${failed}; ${later}`;
  } finally {
    progress.end();
  }
  const interrupted = lab.signal.aborted ? 'stopped by a signal' : failed;
  const report: LabReport = {
    format: 'lab-report/1',
    meta: { ...meta, seconds: Math.round((systemClock.nowMs() - startedMs) / 1000) },
    gates: { voidBlocks, refused, noiseFloor: noise.words },
    experiments: correctPrimaries(done),
    ...(interrupted !== undefined && { interrupted }),
  };
  const conclusion = conclude(report);
  printTable(report, conclusion, process.stdout);
  const files = writeReport(report, conclusion, runDir);
  process.stdout.write(`\nreport   ${files.html}\nresults  ${files.json}\n`);
  return EXIT_CODES[conclusion.outcome];
}

/** All that is known before anything is started. */
function described({ seed: asked, blocks, runtime }: CompareOptions, containers: Containers | undefined) {
  const seed = asked ?? Math.floor(Math.random() * 1_000_000_000);
  const usual = containers ? PANEL_SIZES_IN_CONTAINERS : PANEL_SIZES;
  const sizes: PanelSizes = { ...usual, blocks: blocks ?? usual.blocks };
  const found = profile();
  const cores = containers ? { ...found, words: `${found.words}, ${limitsInWords()}` } : found;
  const plan = planOf(sizes, containers !== undefined);
  const more = (blocks === undefined ? '' : ` --blocks ${blocks}`) + (runtime === 'docker' ? ' --runtime docker' : '');
  const meta = describeRun({ command: 'compare', seed, options: more, startedAt: new Date(), profile: cores, plan });
  return { seed, sizes, cores, plan, meta: containers ? { ...meta, versions: containers.versions } : meta };
}

/** All that is decided before the run, for its manifest. */
function planOf(sizes: PanelSizes, inContainers: boolean): object {
  return {
    ...(inContainers && { limits: LIMITS }),
    panels: { ...PANEL_MEASUREMENT, ...sizes, measures: { hopTax: HOP_TAX_MEASURES, footprint: FOOTPRINT_MEASURES } },
    ...(!inContainers && { costLadder: { ...LADDER_SIZES, ...LADDER_MEASUREMENT } }),
    crash: { ...CRASH_SIZES, ...CRASH_MEASUREMENT },
  };
}

function expectedSeconds(sizes: PanelSizes, inContainers: boolean): number {
  const starts = sizes.blocks * 2 + CRASHES.length;
  const rest = inContainers ? starts * CONTAINERS_SECONDS : ladderSeconds(LADDER_SIZES);
  return sizes.blocks * 2 * secondsPerRun(sizes) + CRASHES.length * secondsPerCrash(CRASH_SIZES) + rest;
}

/** That containers take longer to start and to end than processes do. */
const CONTAINERS_SECONDS = 12;
