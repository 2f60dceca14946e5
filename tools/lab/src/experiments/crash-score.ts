import { CAPABILITIES, expectedWithout, type ArmName, type PartName } from '../dependency-table.js';
import type { DurabilityFinding } from '../durability.js';
import type { LoadResult } from '../load/summary.js';
import type { Fault, Run, SeriesPoint, SurvivalCell } from '../results.js';
import { median } from '../statistics/wilcoxon.js';

/** Declared before the run. */
export const CRASH_SCORE = {
  /** From this share of good answers on, over whole seconds in which a part was away, a capability has survived its absence. */
  survivesMin: 0.9,
  /** A baseline of fewer whole seconds says nothing of what is usual. */
  baselineSecondsMin: 2,
  /** Less than this before the fault, and something else was wrong already. */
  baselineAvailabilityMin: 0.99,
  /** Seconds in a row that must be good before an arm is called recovered. */
  goodSeconds: 5,
  /** The p99 of some hundred requests is two or three of them; below this many milliseconds its ratio says nothing. */
  p99FloorMs: 25,
} as const;

/** What happened to each capability while the part was away, in the stretches that the table tells apart. */
export function survivalOf(arm: ArmName, killed: PartName, load: Pick<LoadResult, 'series'>, fault: Fault): SurvivalCell[] {
  return CAPABILITIES.flatMap((capability) =>
    expectedWithout(killed, arm, capability).map(({ fromSecond, toSecond, expected, when }): SurvivalCell => {
      // Whole seconds inside the fault only.
      const from = fault.fromSecond + fromSecond;
      const to = Math.min(fault.toSecond, fault.fromSecond + toSecond);
      const away = load.series.filter(({ second }) => second >= from && second + 1 <= to);
      const offered = away.reduce((sum, point) => sum + (point.offered[capability] ?? 0), 0);
      const good = away.reduce((sum, point) => sum + (point.good[capability] ?? 0), 0);
      const availability = offered === 0 ? null : good / offered;
      const seen = availability === null ? 'not measured' : availability >= CRASH_SCORE.survivesMin ? 'survives' : 'fails';
      return { arm, killed, capability, ...(when !== undefined && { when }), expected, seen, availability };
    }),
  );
}

/** Whole seconds before the fault, but the first, in which connections are opened. */
function baselineOf(series: readonly SeriesPoint[], fault: Fault): readonly SeriesPoint[] {
  return series.filter(({ second }) => second + 1 <= fault.fromSecond).slice(1);
}

/** Why nothing can be held against what was usual before the fault, if so. */
export function baselineFault(series: readonly SeriesPoint[], fault: Fault): string | undefined {
  const before = baselineOf(series, fault);
  if (before.length < CRASH_SCORE.baselineSecondsMin)
    return `${before.length} whole seconds of baseline, at least ${CRASH_SCORE.baselineSecondsMin} are needed`;
  const availability = sum(before, 'good') / Math.max(1, sum(before, 'offered'));
  return availability < CRASH_SCORE.baselineAvailabilityMin
    ? `only ${(availability * 100).toFixed(1)} % of the answers were good before the fault, bound ${CRASH_SCORE.baselineAvailabilityMin * 100} %`
    : undefined;
}

/** @param cameBack undefined when that was not waited for */
export function metricsOf(
  load: Pick<LoadResult, 'series' | 'outcomes'>,
  fault: Fault,
  durability: DurabilityFinding,
  cameBack?: boolean,
): Record<string, number> {
  const before = baselineOf(load.series, fault);
  const after = load.series.filter(({ second }) => second + 1 > fault.fromSecond);
  // What was offered is known exactly; set against the goodput of a baseline, the chance of the arrivals would count as loss.
  const usualShare = sum(before, 'good') / Math.max(1, sum(before, 'offered'));
  const lostGood = Math.max(0, sum(after, 'offered') * usualShare - sum(after, 'good'));
  const recovered = recoverySeconds(load.series, fault, before);
  return {
    ...(before.length > 0 && { lostGoodRequests: Math.round(lostGood) }),
    ...(recovered !== undefined && { recoverySeconds: recovered }),
    acknowledgedWrites: durability.acknowledged,
    acknowledgedKeys: durability.acknowledgedKeys,
    unknownWrites: durability.unknown,
    acknowledgedWritesLost: durability.lost.length,
    phantomValues: durability.phantom.length,
    refusedWritesDone: durability.invented.length,
    unreadKeys: durability.unread.length,
    wrongAnswers: load.outcomes['wrong-answer'],
    ...(cameBack !== undefined && { cameBack: Number(cameBack) }),
  };
}

/**
 * From the end of the fault to the first of five seconds in a row in which 95 % of what was offered was answered well, with a p99 of at most 1.5
 * times the usual. (Held against what was offered and not against the usual goodput: at some hundred requests a second their number alone varies by 5 %.)
 * Seconds are whole ones of the schedule, so the arm had recovered within this time and at most a second before.
 */
function recoverySeconds(series: readonly SeriesPoint[], fault: Fault, before: readonly SeriesPoint[]): number | undefined {
  const usualP99 = median(before.map(({ p99Ms }) => p99Ms ?? Number.POSITIVE_INFINITY));
  const isGood = (point: SeriesPoint) =>
    total(point.good) >= 0.95 * total(point.offered) &&
    (point.p99Ms ?? Number.POSITIVE_INFINITY) <= Math.max(1.5 * usualP99, CRASH_SCORE.p99FloorMs);
  // A second in which the fault ended is partly the fault's.
  for (
    let at = series.findIndex(({ second }) => second >= fault.toSecond);
    at >= 0 && at + CRASH_SCORE.goodSeconds <= series.length;
    at++
  ) {
    if (series.slice(at, at + CRASH_SCORE.goodSeconds).every(isGood)) return Math.max(0, series[at]!.second - fault.toSecond);
  }
  return undefined;
}

/** A recovery that took longer than this could not have been seen: five good seconds have to fit in behind it. */
export function recoveryWatchedSeconds(series: readonly SeriesPoint[], fault: Fault): number {
  return Math.max(0, series.length - CRASH_SCORE.goodSeconds - fault.toSecond);
}

export function sentences(
  arm: ArmName,
  part: PartName,
  seen: {
    readonly run: Run;
    readonly fault: Fault;
    readonly durability: DurabilityFinding;
    readonly cells: readonly SurvivalCell[];
    readonly watchedSeconds: number;
  },
): string[] {
  const { run, fault, durability, cells, watchedSeconds } = seen;
  const survived = cells.filter((cell) => cell.seen === 'survives').map(capabilityOf);
  const { lostGoodRequests, recoverySeconds } = run.metrics;
  const away = `for ${(fault.toSecond - fault.fromSecond).toFixed(1)} s`;
  const what = part === arm ? `With the whole ${arm} killed and away ${away}` : `With the ${part} of the ${arm} killed and away ${away}`;
  const recovery =
    recoverySeconds === undefined
      ? `it had not recovered within ${watchedSeconds.toFixed(1)} s, the longest that could be seen`
      : `it had recovered within ${recoverySeconds.toFixed(1)} s of the restart (seen in steps of 1 s)`;
  const surprises = cells.filter((cell) => cell.seen !== 'not measured' && cell.expected !== cell.seen);
  return [
    `${what}, ${survived.length === 0 ? 'nothing was served' : `${survived.join(', ')} went on`}; ${lostGoodRequests} good requests were lost, and ${recovery} (no verdict: one run).`,
    `${arm}: the last acknowledged write of ${durability.lost.length} of ${durability.acknowledgedKeys} keys lost (${durability.acknowledged} writes); ${durability.phantom.length} values that nobody wrote; ${durability.invented.length} writes done though refused; ${durability.unknown} writes without a definite answer, which may or may not be there.`,
    ...surprises.map(
      (cell) =>
        `Not as the table says: ${capabilityOf(cell)} of the ${arm} ${cell.seen} (${((cell.availability ?? 0) * 100).toFixed(0)} % good) without the ${part}, expected: ${cell.expected}.`,
    ),
  ];
}

/** `hit (first 5 s)` */
export function capabilityOf({ capability, when }: Pick<SurvivalCell, 'capability' | 'when'>): string {
  return when === undefined ? capability : `${capability} (${when})`;
}

function sum(points: readonly SeriesPoint[], of: 'offered' | 'good'): number {
  return points.reduce((all, point) => all + total(point[of]), 0);
}

function total(counts: SeriesPoint['good']): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}
