import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@diptych/kernel';
import { CAPABILITIES, expectedToSurvive, type ArmName, type PartName } from '../dependency-table.js';
import { checkDurability, httpReader, readHistory, type DurabilityFinding } from '../durability.js';
import { generatorGate, MachineGate } from '../gates.js';
import { fill, keysOf, warm } from '../load/fill.js';
import type { KeySpec } from '../load/keys.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan, Stream } from '../load/schedule.js';
import type { LoadResult } from '../load/summary.js';
import type { Experiment, Fault, Run, SeriesPoint, SurvivalCell } from '../results.js';
import type { RunningArm } from '../running-arm.js';
import { median } from '../statistics/wilcoxon.js';
import type { LabContext } from './context.js';

export interface CrashSizes {
  readonly ratePerSecond: number;
  readonly baselineSeconds: number;
  /** How long the part stays away before the supervisor starts it anew. */
  readonly awaySeconds: number;
  readonly recoverySeconds: number;
}

export const CRASH_SIZES: CrashSizes = { ratePerSecond: 400, baselineSeconds: 4, awaySeconds: 3, recoverySeconds: 8 };

/** What is killed in which arm. */
export const CRASHES: ReadonlyArray<{ readonly arm: ArmName; readonly part: PartName }> = [
  { arm: 'services', part: 'log' },
  { arm: 'monolith', part: 'monolith' },
];

const HOT: KeySpec = { kind: 'uniform', prefix: 'hot', count: 100 };
const COLD: KeySpec = { kind: 'once', prefix: 'cold', count: 4_000 };
const DOOMED: KeySpec = { kind: 'once', prefix: 'doomed', count: 2_000 };
const WRITTEN: KeySpec = { kind: 'uniform', prefix: 'written', count: 500 };
const REPORTED: KeySpec = { kind: 'uniform', prefix: 'reported', count: 30 };

/** Each capability has keys of its own, so that what is meant to hit does hit and what is meant to miss does miss. */
export const CRASH_STREAMS: readonly Stream[] = [
  { capability: 'hit', share: 35, keys: HOT },
  { capability: 'miss', share: 20, keys: COLD },
  { capability: 'put', share: 20, keys: WRITTEN },
  { capability: 'delete', share: 5, keys: DOOMED },
  { capability: 'list', share: 8, keys: { ...REPORTED, kind: 'uniform', count: 1 } },
  { capability: 'report', share: 4, keys: { ...REPORTED, kind: 'uniform', count: 1 } },
  { capability: 'health', share: 8, keys: HOT },
];

const FILLED: readonly KeySpec[] = [HOT, COLD, DOOMED, WRITTEN, REPORTED];

const VALUE_BYTES = 256;
const TIMEOUT_MS = 1_000;

/** From this share of good answers on, over the whole seconds in which a part was away, a capability has survived its absence. */
const SURVIVES_MIN = 0.9;

export async function crash(lab: LabContext, sizes: CrashSizes = CRASH_SIZES): Promise<Experiment> {
  const runs: Run[] = [];
  const survival: SurvivalCell[] = [];
  const findings: string[] = [];
  const machine = new MachineGate();
  for (const [order, { arm, part }] of CRASHES.entries()) {
    if (lab.signal.aborted) break;
    lab.progress.step(`crash of ${part === arm ? 'the whole monolith' : `the ${part}`} under load`, secondsPerCrash(sizes));
    machine.begin();
    const measured = await oneCrash(lab, arm, part, order, sizes);
    const { load, durability, fault } = measured;
    // Each reason by itself: a busy machine must not hide that nothing was injected.
    const reasons = [lab.signal.aborted ? 'it was interrupted' : undefined, measured.why, machine.end()].filter(
      (reason) => reason !== undefined,
    );
    const why = reasons.length === 0 ? undefined : reasons.join('; ');
    if (why) lab.voidBlocks.push({ experiment: 'crash', block: order, arm, why: `${arm}: ${why}` });
    const run: Run = { ...measured.run, valid: why === undefined };
    runs.push(run);
    if (!run.valid) continue;
    const cells = survivalOf(arm, part, load, fault);
    survival.push(...cells);
    findings.push(...sentences(arm, part, run, durability, cells));
  }
  return {
    id: 'crash',
    title: 'Crash of a part',
    claim: 'When one part of a split system crashes, the rest goes on; a monolith goes down as a whole.',
    expectation:
      'With the log killed, services go on serving cache hits and health; with the monolith killed, nothing is served. Neither loses an acknowledged write.',
    caveat:
      'One run an arm: what is seen is an observation and no verdict, and the faults differ, as they must: a monolith has no part that could die alone. SIGKILL spares the page cache, so this is no power failure.',
    runs,
    contrasts: [],
    findings,
    survival,
  };
}

export function secondsPerCrash(sizes: CrashSizes): number {
  return 9 + sizes.baselineSeconds + sizes.awaySeconds + sizes.recoverySeconds;
}

async function oneCrash(lab: LabContext, name: ArmName, part: PartName, order: number, sizes: CrashSizes) {
  const arm = await lab.startArm(name, lab.signal);
  const reader = httpReader(arm.url, lab.signal);
  try {
    await fill(arm.url, FILLED, VALUE_BYTES, lab.signal);
    await warm(arm.url, [HOT], lab.signal);
    const seconds = sizes.baselineSeconds + sizes.awaySeconds + sizes.recoverySeconds;
    const historyFile = `${lab.runDir}/history/crash-${name}.jsonl.gz`;
    const plan: LoadPlan = {
      id: 'crash',
      baseUrl: arm.url,
      seed: lab.seed,
      seconds,
      ratePerSecond: sizes.ratePerSecond,
      streams: CRASH_STREAMS,
      valueBytes: VALUE_BYTES,
      timeoutMs: TIMEOUT_MS,
      connections: 512,
      mode: 'open',
      historyFile,
    };
    const loading = runLoad(plan, { cores: lab.profile.generator, signal: lab.signal });
    const killing = killAndRestart(lab, arm, part, sizes);
    // Both are awaited whatever becomes of either, so that nothing of this run goes on into the next.
    const [loaded, killed] = await Promise.allSettled([loading, killing]);
    if (loaded.status === 'rejected') throw loaded.reason;
    if (killed.status === 'rejected') throw killed.reason;
    const load = loaded.value;
    const { proof, killedWallMs, backWallMs, cameBack } = killed.value;
    const fault: Fault = {
      kind: 'kill',
      part,
      fromSecond: (killedWallMs - load.startedWallMs) / 1000,
      toSecond: (backWallMs - load.startedWallMs) / 1000,
      proof,
    };
    const durability = await checkDurability(await readHistory(historyFile), keysOf(FILLED), reader.finalStateOf);
    const why = proof === '' ? 'the fault was not injected: what was killed is still there' : generatorGate(load);
    const run: Run = {
      block: 0,
      order,
      arm: name,
      label: `${name}, ${part} killed`,
      valid: why === undefined,
      metrics: { ...metricsOf(load, fault, durability), cameBack: Number(cameBack) },
      series: load.series,
      fault,
    };
    return { run, load, durability, fault, why };
  } finally {
    await reader.close();
    await arm.stop();
  }
}

async function killAndRestart(lab: LabContext, arm: RunningArm, part: PartName, sizes: CrashSizes) {
  await sleep(sizes.baselineSeconds * 1000, undefined, { signal: lab.signal });
  const proof = await arm.kill(part);
  const killedWallMs = systemClock.wallMs();
  await sleep(sizes.awaySeconds * 1000, undefined, { signal: lab.signal });
  // The fault is over when the supervisor acts; what the part needs to come back is the arm's recovery.
  const backWallMs = systemClock.wallMs();
  // A part that does not come back is a finding about the arm, not a failure of the lab.
  const cameBack = await arm.restart(part).then(
    () => true,
    () => false,
  );
  return { proof, killedWallMs, backWallMs, cameBack };
}

export function metricsOf(
  load: Pick<LoadResult, 'series' | 'outcomes'>,
  fault: Fault,
  durability: DurabilityFinding,
): Record<string, number> {
  const before = load.series.filter(({ second }) => second + 1 <= fault.fromSecond).slice(1);
  const after = load.series.filter(({ second }) => second + 1 > fault.fromSecond);
  const sum = (points: readonly SeriesPoint[], of: 'offered' | 'good') => points.reduce((all, point) => all + total(point[of]), 0);
  // What was offered is known exactly; set against the goodput of a baseline, the chance of the arrivals would count as loss.
  const usualShare = sum(before, 'good') / Math.max(1, sum(before, 'offered'));
  const lostGood = Math.max(0, sum(after, 'offered') * usualShare - sum(after, 'good'));
  const recovered = recoverySeconds(load.series, fault, before);
  return {
    lostGoodRequests: Math.round(lostGood),
    ...(recovered !== undefined && { recoverySeconds: recovered }),
    acknowledgedWrites: durability.acknowledged,
    unknownWrites: durability.unknown,
    acknowledgedWritesLost: durability.lost.length,
    phantomValues: durability.phantom.length,
    refusedWritesDone: durability.invented.length,
    unreadKeys: durability.unread.length,
    wrongAnswers: load.outcomes['wrong-answer'],
  };
}

/**
 * From the end of the fault to the first of five seconds in a row in which 95 % of what was offered was answered well, with a p99 of at most 1.5
 * times the usual. (Held against what was offered and not against the usual goodput: at some hundred requests a second their number alone varies by 5 %.)
 */
function recoverySeconds(series: readonly SeriesPoint[], fault: Fault, before: readonly SeriesPoint[]): number | undefined {
  const usualP99 = median(before.map(({ p99Ms }) => p99Ms ?? Number.POSITIVE_INFINITY));
  const isGood = (point: SeriesPoint) =>
    total(point.good) >= 0.95 * total(point.offered) && (point.p99Ms ?? Number.POSITIVE_INFINITY) <= Math.max(1.5 * usualP99, P99_FLOOR_MS);
  // A second in which the fault ended is partly the fault's.
  for (let at = series.findIndex(({ second }) => second >= fault.toSecond); at >= 0 && at + 5 <= series.length; at++) {
    if (series.slice(at, at + 5).every(isGood)) return Math.max(0, series[at]!.second - fault.toSecond);
  }
  return undefined;
}

/** The p99 of some hundred requests is two or three of them; below this many milliseconds its ratio says nothing. */
const P99_FLOOR_MS = 25;

function survivalOf(arm: ArmName, killed: PartName, load: LoadResult, fault: Fault): SurvivalCell[] {
  // Whole seconds inside the fault only.
  const away = load.series.filter(({ second }) => second >= fault.fromSecond && second + 1 <= fault.toSecond);
  return CAPABILITIES.map((capability) => {
    const offered = away.reduce((sum, point) => sum + (point.offered[capability] ?? 0), 0);
    const good = away.reduce((sum, point) => sum + (point.good[capability] ?? 0), 0);
    const availability = offered === 0 ? null : good / offered;
    const seen = availability === null ? 'not measured' : availability >= SURVIVES_MIN ? 'survives' : 'fails';
    return { arm, killed, capability, expected: expectedToSurvive(arm, capability, killed) ? 'survives' : 'fails', seen, availability };
  });
}

function sentences(arm: ArmName, part: PartName, run: Run, durability: DurabilityFinding, cells: readonly SurvivalCell[]): string[] {
  const survived = cells.filter(({ seen }) => seen === 'survives').map(({ capability }) => capability);
  const { lostGoodRequests, recoverySeconds } = run.metrics;
  const what = part === arm ? `With the whole ${arm} killed` : `With the ${part} of the ${arm} killed`;
  const surprises = cells.filter(({ expected, seen }) => seen !== 'not measured' && expected !== seen);
  return [
    `${what}, ${survived.length === 0 ? 'nothing was served' : `${survived.join(', ')} went on`}; ${lostGoodRequests} good requests were lost, and it ${recoverySeconds === undefined ? 'had not recovered when the run ended' : `recovered ${recoverySeconds.toFixed(1)} s after the restart began`} (no verdict: one run).`,
    `${arm}: ${durability.lost.length} of ${durability.acknowledged} acknowledged writes lost; ${durability.phantom.length} values that nobody wrote; ${durability.invented.length} writes done though refused; ${durability.unknown} writes without a definite answer, which may or may not be there.`,
    ...surprises.map(
      ({ capability, expected, seen, availability }) =>
        `Not as the table says: ${capability} of the ${arm} ${seen} (${((availability ?? 0) * 100).toFixed(0)} % good) without the ${part}, expected: ${expected}.`,
    ),
  ];
}

function total(counts: SeriesPoint['good']): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
