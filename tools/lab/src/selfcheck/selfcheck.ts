import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { profile, type Profile } from '@diptych/testing';
import { conclude } from '../conclusion.js';
import type { LabContext } from '../experiments/context.js';
import { crash, CRASH_MEASUREMENT, CRASHES, secondsPerCrash, type CrashSizes } from '../experiments/crash.js';
import { FOOTPRINT_MEASURES } from '../experiments/footprint.js';
import { contrastsOf, hopTax, HOP_TAX_MEASURES } from '../experiments/hop-tax.js';
import { PANEL_MEASUREMENT, PANEL_SIZES, panelRuns, secondsPerRun, type PanelSizes } from '../experiments/panel-runs.js';
import { interruption } from '../interruption.js';
import { assertBroker, describeRun } from '../manifest.js';
import { excludesNoDifference, noiseFloorOf, saveNoiseFloor, unknownNoise } from '../noise-floor.js';
import { Progress } from '../progress.js';
import type { Contrast, Experiment, LabReport, Meta } from '../results.js';
import type { StartArm } from '../running-arm.js';
import { beginRunDirectory } from '../run-directory.js';
import { arms } from '../start-arm.js';
import { besideWrk, fullRate, golden, INSTRUMENT_SECONDS, type Check } from './instruments.js';
import { stubArms } from './stub-arms.js';

/** As many as a verdict wants, measured as `compare` measures, so that the floor is that of its figures. */
const AGAINST_ITSELF: PanelSizes = { ...PANEL_SIZES, blocks: 12 };
const PLANTED: PanelSizes = { blocks: 6, ratePerSecond: 1_000, seconds: 2 };
const CRASH: CrashSizes = { ratePerSecond: 300, baselineSeconds: 3, awaySeconds: 2, recoverySeconds: 7 };
const NO_FLOOR = unknownNoise('not looked at: this measures it');

/**
 * Whether the lab itself can be believed: its instruments against theory and against wrk, the monolith against itself, and planted faults that it has to
 * find. Takes about twelve minutes on a quiet machine, and leaves the noise floor that `compare` reads, and a record.
 *
 * @returns 0 when every check passes, 1 when one fails, 2 when one cannot say or a signal ended it
 */
export async function selfcheck(options: { seed: number; outDir: string | undefined }): Promise<number> {
  assertBroker();
  const cores = profile();
  const startedAt = new Date();
  const plan = { AGAINST_ITSELF, PANEL_MEASUREMENT, PLANTED, CRASH, CRASH_MEASUREMENT };
  const startedMs = systemClock.nowMs();
  const meta = describeRun({
    command: 'lab -- selfcheck',
    seed: options.seed,
    startedAt,
    profile: cores,
    plan,
  });
  const runDir = beginRunDirectory('selfcheck', options.outDir, meta, plan);
  const progress = new Progress(
    INSTRUMENT_SECONDS + 24 * secondsPerRun(AGAINST_ITSELF) + 12 * secondsPerRun(PLANTED) + 2 * CRASHES.length * secondsPerCrash(CRASH),
  );
  using interrupt = interruption((line) => progress.note(line));
  const { signal } = interrupt;
  const bench: Bench = { cores, seed: options.seed, signal, progress, runDir, meta };
  const checks: Check[] = [];
  let failed: string | undefined;
  try {
    for (const check of CHECKS) {
      if (signal.aborted) break;
      const found = await check(bench);
      // What a signal cut short says nothing.
      if (signal.aborted) break;
      for (const { name, outcome, figure } of found) process.stdout.write(`${outcome.padEnd(10)}  ${name}\n            ${figure}\n`);
      checks.push(...found);
    }
  } catch (error) {
    if (!signal.aborted) failed = error instanceof Error ? error.message : String(error);
  } finally {
    progress.end();
  }
  if (signal.aborted) failed = 'stopped by a signal';
  const outcome = outcomeOf(checks, failed);
  const record = join(runDir, 'results.json');
  const seconds = Math.round((systemClock.nowMs() - startedMs) / 1000);
  writeFileSync(record, `${JSON.stringify({ format: 'lab-selfcheck/1', meta: { ...meta, seconds }, outcome, failed, checks }, null, 1)}\n`);
  process.stdout.write(`\nOutcome: ${outcome}${failed === undefined ? '' : ` (${failed})`}\nrecord   ${record}\n`);
  return { pass: 0, fail: 1, 'cannot say': 2 }[outcome];
}

export function outcomeOf(checks: readonly Check[], failed: string | undefined): Check['outcome'] {
  if (checks.some(({ outcome }) => outcome === 'fail')) return 'fail';
  return failed !== undefined || checks.some(({ outcome }) => outcome === 'cannot say') ? 'cannot say' : 'pass';
}

interface Bench {
  readonly cores: Profile;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  readonly runDir: string;
  readonly meta: Meta;
}

/** In the order in which they run: what the later ones rest on comes first. */
const CHECKS: ReadonlyArray<(bench: Bench) => Promise<Check[]>> = [
  golden,
  async (bench) => [await fullRate(bench)],
  async (bench) => [await besideWrk(bench)],
  async (bench) => [await plantedLoss(bench)],
  async (bench) => [await plantedFailureToInject(bench)],
  async (bench) => [await plantedSlowDown(bench)],
  async (bench) => [await againstItself(bench)],
];

/** A second round only when the first called something different; what both call so, the harness favours. */
async function againstItself(bench: Bench): Promise<Check> {
  const name = 'the monolith is not called different from itself';
  const rounds: Contrast[][] = [];
  for (let round = 0; round < 2; round++) {
    const lab = labOf(bench, arms(bench.cores), bench.seed + round);
    const { runs, refused, failed } = await panelRuns(lab, ['monolith', 'monolith'], AGAINST_ITSELF);
    if (failed !== undefined) return { name, outcome: 'cannot say', figure: failed };
    const contrasts = contrastsOf([...HOP_TAX_MEASURES, ...FOOTPRINT_MEASURES], runs, 'monolith again', 'monolith', NO_FLOOR, refused);
    if (contrasts[0]!.verdict === 'no verdict') return { name, outcome: 'cannot say', figure: contrasts[0]!.sentence };
    rounds.push(contrasts);
    if (!contrasts.some(excludesNoDifference) || bench.signal.aborted) break;
    if (round === 0) bench.progress.extend(24 * secondsPerRun(AGAINST_ITSELF));
  }
  const floor = noiseFloorOf(bench.meta, rounds);
  const file = saveNoiseFloor(bench.meta, floor);
  const refused = Object.entries(floor.metrics).filter(([, metric]) => metric.refused);
  const once = rounds[0]!.filter(excludesNoDifference).map(({ metric }) => metric);
  const widths = rounds[0]!
    .filter(({ metric }) => floor.metrics[metric])
    .map(({ metric, scale }) => `${metric} ${(floor.metrics[metric]!.halfWidth * 100).toFixed(1)} ${scale === 'ratio' ? '%' : 'points'}`);
  return {
    name,
    outcome: refused.length === 0 ? 'pass' : 'fail',
    figure: `${refused.length === 0 ? '' : `twice different, and refused from now on: ${refused.map(([metric]) => metric).join(', ')}; `}${once.length === 0 ? '' : `different in one round of two: ${once.join(', ')}; `}half of the interval: ${widths.join(', ')}; kept in ${file}`,
  };
}

async function plantedSlowDown(bench: Bench): Promise<Check> {
  const lab = labOf(bench, stubArms(bench.cores, { serviceMs: { monolith: 10, services: 12 }, killWorks: true }), bench.seed);
  const { contrasts } = hopTax(await panelRuns(lab, ['monolith', 'services'], PLANTED), NO_FLOOR);
  const [primary] = contrasts as [Contrast];
  const name = 'a planted slow-down of 20 % is found';
  if (primary.verdict === 'no verdict') return { name, outcome: 'cannot say', figure: primary.sentence };
  const found = primary.verdict === 'better' && primary.winner === 'monolith' && primary.low < 1.2 && primary.high > 1.1;
  return { name, outcome: found ? 'pass' : 'fail', figure: primary.sentence };
}

/** The stub keeps its values in memory: its death loses every write that it acknowledged. */
async function plantedLoss(bench: Bench): Promise<Check> {
  const lab = labOf(bench, stubArms(bench.cores, { serviceMs: { monolith: 0, services: 0 }, killWorks: true }), bench.seed);
  const experiment = await crash(lab, CRASH);
  const { outcome, reasons } = conclude(reportOf(experiment, lab, bench));
  const lost = experiment.runs.map(({ metrics }) => metrics['acknowledgedWritesLost'] ?? 0);
  const found =
    outcome === 'fail' && lost.every((count) => count > 0) && reasons.some((reason) => reason.includes('acknowledged writes lost'));
  return {
    name: 'planted lost writes are found, and make the run a failure',
    outcome: found ? 'pass' : 'fail',
    figure: `${lost.join(' and ')} acknowledged writes lost; outcome: ${outcome}`,
  };
}

/** The stub's kill sends a signal that ends nothing; the proof is asked of the operating system as it is for the real arms. */
async function plantedFailureToInject(bench: Bench): Promise<Check> {
  const lab = labOf(bench, stubArms(bench.cores, { serviceMs: { monolith: 0, services: 0 }, killWorks: false }), bench.seed);
  const experiment = await crash(lab, CRASH);
  const { outcome, reasons } = conclude(reportOf(experiment, lab, bench));
  const whys = lab.voidBlocks.map(({ why }) => why);
  const found =
    outcome === 'cannot say' && experiment.runs.every(({ valid }) => !valid) && whys.every((why) => why.includes('not injected'));
  const name = 'a fault that was not injected voids its run';
  // A machine that voided the run for a reason of its own hides what was planted.
  if (!found && outcome === 'cannot say') return { name, outcome: 'cannot say', figure: whys.join('; ') };
  return { name, outcome: found ? 'pass' : 'fail', figure: `outcome: ${outcome} (${[...reasons, ...whys].join('; ')})` };
}

function labOf({ cores, signal, progress, runDir }: Bench, startArm: StartArm, seed: number): LabContext {
  return { seed, startArm, profile: cores, signal, progress, runDir, voidBlocks: [] };
}

function reportOf(experiment: Experiment, lab: LabContext, { meta }: Bench): LabReport {
  return { format: 'lab-report/1', meta, gates: { voidBlocks: lab.voidBlocks, noiseFloor: NO_FLOOR.words }, experiments: [experiment] };
}
