import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { profile, type Profile } from '@diptych/testing';
import { conclude } from '../conclusion.js';
import type { LabContext } from '../experiments/context.js';
import { crash, type CrashSizes } from '../experiments/crash.js';
import { hopTax } from '../experiments/hop-tax.js';
import { panelRuns, type PanelSizes } from '../experiments/panel-runs.js';
import { describeRun } from '../manifest.js';
import { Progress } from '../progress.js';
import type { Contrast, Experiment, LabReport } from '../results.js';
import type { StartArm } from '../running-arm.js';
import { arms } from '../start-arm.js';
import { besideWrk, fullRate, golden, type Check } from './instruments.js';
import { stubArms } from './stub-arms.js';

const SIZES: PanelSizes = { blocks: 6, ratePerSecond: 1_000, warmUpSeconds: 1, seconds: 3.2 };
const CRASH: CrashSizes = { ratePerSecond: 300, baselineSeconds: 3, awaySeconds: 2, recoverySeconds: 7 };

/**
 * Whether the lab itself can be believed: its instruments against theory and against wrk, the monolith against itself, and planted faults that it has to
 * find. Takes about six minutes on a quiet machine.
 *
 * @returns 0 when every check passes, 1 when one fails, 2 when one cannot say
 */
export async function selfcheck(seed: number): Promise<number> {
  const cores = profile();
  const checks: Check[] = [];
  const say = (...found: Check[]) => {
    for (const { name, outcome, figure } of found) process.stdout.write(`${outcome.padEnd(10)}  ${name}\n            ${figure}\n`);
    checks.push(...found);
  };
  say(...(await golden(cores)));
  say(await fullRate(cores));
  say(await besideWrk(cores));
  say(await againstItself(cores, seed));
  say(await plantedSlowDown(cores, seed));
  say(await plantedLoss(cores, seed));
  say(await plantedFailureToInject(cores, seed));
  if (checks.some(({ outcome }) => outcome === 'fail')) return 1;
  return checks.some(({ outcome }) => outcome === 'cannot say') ? 2 : 0;
}

async function againstItself(cores: Profile, seed: number): Promise<Check> {
  return inLab(cores, arms(cores), seed, async (lab) => {
    const { contrasts } = hopTax(await panelRuns(lab, ['monolith', 'monolith'], SIZES), 'monolith again', 'monolith');
    const [primary] = contrasts as [Contrast];
    const name = 'the monolith is not called better or worse than itself';
    if (primary.verdict === 'no verdict') return { name, outcome: 'cannot say', figure: primary.sentence };
    const different = contrasts.filter(({ verdict }) => verdict === 'better');
    return {
      name,
      outcome: different.length === 0 ? 'pass' : 'fail',
      figure: [...different, primary].map(({ sentence }) => sentence).join(' '),
    };
  });
}

async function plantedSlowDown(cores: Profile, seed: number): Promise<Check> {
  const planted = stubArms(cores, { serviceMs: { monolith: 10, services: 12 }, killWorks: true });
  return inLab(cores, planted, seed, async (lab) => {
    const { contrasts } = hopTax(await panelRuns(lab, ['monolith', 'services'], SIZES));
    const [primary] = contrasts as [Contrast];
    const name = 'a planted slow-down of 20 % is found';
    if (primary.verdict === 'no verdict') return { name, outcome: 'cannot say', figure: primary.sentence };
    const found = primary.verdict === 'better' && primary.winner === 'monolith' && primary.low < 1.2 && primary.high > 1.1;
    return { name, outcome: found ? 'pass' : 'fail', figure: primary.sentence };
  });
}

/** The stub keeps its values in memory: its death loses every write that it acknowledged. */
async function plantedLoss(cores: Profile, seed: number): Promise<Check> {
  const planted = stubArms(cores, { serviceMs: { monolith: 0, services: 0 }, killWorks: true });
  return inLab(cores, planted, seed, async (lab) => {
    const experiment = await crash(lab, CRASH);
    const { outcome, reasons } = conclude(reportOf(experiment, lab, cores));
    const lost = experiment.runs.map(({ metrics }) => metrics['acknowledgedWritesLost'] ?? 0);
    const found =
      outcome === 'fail' && lost.every((count) => count > 0) && reasons.some((reason) => reason.includes('acknowledged writes lost'));
    return {
      name: 'planted lost writes are found, and make the run a failure',
      outcome: found ? 'pass' : 'fail',
      figure: `${lost.join(' and ')} acknowledged writes lost; outcome: ${outcome}`,
    };
  });
}

async function plantedFailureToInject(cores: Profile, seed: number): Promise<Check> {
  const planted = stubArms(cores, { serviceMs: { monolith: 0, services: 0 }, killWorks: false });
  return inLab(cores, planted, seed, async (lab) => {
    const experiment = await crash(lab, CRASH);
    const { outcome, reasons } = conclude(reportOf(experiment, lab, cores));
    const found = outcome === 'cannot say' && experiment.runs.every(({ valid }) => !valid);
    return {
      name: 'a fault that was not injected voids its run',
      outcome: found ? 'pass' : 'fail',
      figure: `outcome: ${outcome} (${reasons.join('; ')})`,
    };
  });
}

async function inLab<T>(cores: Profile, startArm: StartArm, seed: number, work: (lab: LabContext) => Promise<T>): Promise<T> {
  const runDir = mkdtempSync(join(tmpdir(), 'diptych-selfcheck-'));
  const progress = new Progress(60);
  const stop = new AbortController();
  const onSignal = () => stop.abort(new Error('interrupted'));
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  try {
    return await work({ seed, startArm, profile: cores, signal: stop.signal, progress, runDir, voidBlocks: [] });
  } finally {
    process.removeListener('SIGINT', onSignal);
    process.removeListener('SIGTERM', onSignal);
    progress.end();
    rmSync(runDir, { recursive: true, force: true });
  }
}

function reportOf(experiment: Experiment, lab: LabContext, cores: Profile): LabReport {
  const meta = describeRun({ command: 'lab -- selfcheck', seed: lab.seed, startedAt: new Date(), seconds: 0, profile: cores });
  return { format: 'lab-report/1', meta, gates: { voidBlocks: lab.voidBlocks }, experiments: [experiment] };
}
