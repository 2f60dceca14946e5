import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@diptych/kernel';
import { CACHE_MAX_STALE_SECONDS, NEEDS, OUTLIVES, type ArmName, type PartName } from '../dependency-table.js';
import { checkDurability, httpReader, readHistory } from '../durability.js';
import { GATES, generatorGate, MachineGate } from '../gates.js';
import { fill, keysOf, warm } from '../load/fill.js';
import type { KeySpec } from '../load/keys.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan, Stream } from '../load/schedule.js';
import type { Experiment, Fault, Run, SurvivalCell } from '../results.js';
import type { Injection, RunningArm } from '../running-arm.js';
import type { LabContext } from './context.js';
import { baselineFault, CRASH_SCORE, metricsOf, recoveryWatchedSeconds, sentences, survivalOf } from './crash-score.js';

export interface CrashSizes {
  readonly ratePerSecond: number;
  readonly baselineSeconds: number;
  /** How long the part stays away before the supervisor starts it anew. */
  readonly awaySeconds: number;
  readonly recoverySeconds: number;
}

/** Away for longer than a cache answers without the log, so that both sides of that bound are seen. */
export const CRASH_SIZES: CrashSizes = { ratePerSecond: 400, baselineSeconds: 4, awaySeconds: 8, recoverySeconds: 10 };

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
const STREAMS: readonly Stream[] = [
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
/** Requests in flight at most: more than are due within the time-out. */
const IN_FLIGHT = 512;

/** All that decides what a figure of a crash means, but how long it lasts. */
export const CRASH_MEASUREMENT = {
  crashes: CRASHES,
  streams: STREAMS,
  valueBytes: VALUE_BYTES,
  timeoutMs: TIMEOUT_MS,
  inFlight: IN_FLIGHT,
  score: CRASH_SCORE,
  gates: GATES,
  needs: NEEDS,
  outlives: OUTLIVES,
};

export async function crash(lab: LabContext, sizes: CrashSizes = CRASH_SIZES): Promise<Experiment> {
  const runs: Run[] = [];
  const survival: SurvivalCell[] = [];
  const findings: string[] = [];
  const machine = new MachineGate(lab.signs);
  for (const [order, { arm, part }] of CRASHES.entries()) {
    if (lab.signal.aborted) break;
    lab.progress.step(`crash of ${part === arm ? 'the whole monolith' : `the ${part}`} under load`, secondsPerCrash(sizes));
    machine.begin();
    const measured = await oneCrash(lab, arm, part, order, sizes).catch((error: unknown) => {
      // Cut short before it could be scored; the crash before it is kept.
      if (lab.signal.aborted) return undefined;
      throw error;
    });
    if (!measured) break;
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
    findings.push(...sentences(arm, part, { run, fault, durability, cells, watchedSeconds: recoveryWatchedSeconds(load.series, fault) }));
  }
  return {
    id: 'crash',
    title: 'Crash of a part',
    claim: 'When one part of a split system crashes, the rest goes on; a monolith goes down as a whole.',
    expectation: `With the log killed, services go on serving health, and cache hits for ${CACHE_MAX_STALE_SECONDS} s (DIPTYCH_CACHE_MAX_STALE_MS) and no longer; with the monolith killed, nothing is served. The part is away for ${sizes.awaySeconds} s. Neither arm loses an acknowledged write.`,
    caveat:
      'One run an arm: what is seen is an observation and no verdict, and the faults differ, as they must: a monolith has no part that could die alone. SIGKILL spares the page cache, so this is no power failure. How much of an absence is served from the cache is a setting, and with another length of it the shares are others. Recovery is seen in steps of 1 s.',
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
      streams: STREAMS,
      valueBytes: VALUE_BYTES,
      timeoutMs: TIMEOUT_MS,
      connections: IN_FLIGHT,
      mode: 'open',
      historyFile,
    };
    // Timed from the generator's first request, not from its start: its first window is the baseline.
    const { promise: baselineOver, resolve: onWindow } = Promise.withResolvers<unknown>();
    const loading = runLoad(
      { ...plan, windowSeconds: sizes.baselineSeconds },
      { cores: lab.profile.generator, signal: lab.signal, onWindow },
    ).finally(() => onWindow(undefined));
    const killing = baselineOver.then(() => killAndRestart(lab.signal, arm, part, sizes.awaySeconds));
    // Both are awaited whatever becomes of either, so that nothing of this run goes on into the next.
    const [loaded, killed] = await Promise.allSettled([loading, killing]);
    if (loaded.status === 'rejected') throw loaded.reason;
    if (killed.status === 'rejected') throw killed.reason;
    const load = loaded.value;
    const { injection, killedWallMs, backWallMs, cameBack } = killed.value;
    const fault: Fault = {
      kind: 'kill',
      part,
      fromSecond: (killedWallMs - load.startedWallMs) / 1000,
      toSecond: (backWallMs - load.startedWallMs) / 1000,
      proof: 'proof' in injection ? injection.proof : '',
    };
    const durability = await checkDurability(await readHistory(historyFile), keysOf(FILLED), reader.finalStateOf);
    const reasons = [whyNotInjected(injection), baselineFault(load.series, fault), generatorGate(load)].filter(
      (each) => each !== undefined,
    );
    const why = reasons.length === 0 ? undefined : reasons.join('; ');
    const run: Run = {
      block: 0,
      order,
      arm: name,
      label: `${name}, ${part} killed`,
      valid: why === undefined,
      metrics: metricsOf(load, fault, durability, cameBack),
      series: load.series,
      fault,
    };
    return { run, load, durability, fault, why };
  } finally {
    await reader.close();
    await arm.stop();
  }
}

function whyNotInjected(injection: Injection): string | undefined {
  return 'whyNot' in injection ? `the fault was not injected: ${injection.whyNot}` : undefined;
}

/** @returns cameBack is undefined when a signal ended the lab, and with it what was being started */
export async function killAndRestart(signal: AbortSignal, arm: Pick<RunningArm, 'kill' | 'restart'>, part: PartName, awaySeconds: number) {
  signal.throwIfAborted();
  const injection = await arm.kill(part);
  const killedWallMs = systemClock.wallMs();
  await sleep(awaySeconds * 1000, undefined, { signal });
  // The fault is over when the supervisor acts; what the part needs to come back is the arm's recovery.
  const backWallMs = systemClock.wallMs();
  // A part that does not come back is a finding about the arm, not a failure of the lab.
  const cameBack = await arm.restart(part).then(
    () => true,
    () => (signal.aborted ? undefined : false),
  );
  return { injection, killedWallMs, backWallMs, cameBack };
}
