import { build, type Histogram } from 'hdr-histogram-js';
import type { Capability } from '../dependency-table.js';
import type { SeriesPoint } from '../results.js';
import type { Recording } from './generator.js';
import { OUTCOMES, type Outcome } from './operations.js';
import type { LoadPlan } from './schedule.js';

export interface LoadResult {
  readonly startedWallMs: number;
  readonly offered: number;
  readonly good: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
  readonly perCapability: Readonly<
    Partial<Record<Capability, { readonly offered: number; readonly good: number; readonly latency: Latency }>>
  >;
  readonly latency: Latency;
  readonly series: readonly SeriesPoint[];
  /** Of the generator itself: whether its word can be taken. */
  readonly generator: {
    readonly latenessMs: { readonly p50: number; readonly p99: number; readonly max: number };
    /** Requests that left, or would have left had a connection been free, within 10 ms of their time, over all of the schedule. */
    readonly sentOnScheduleShare: number;
    /** CPU time over elapsed time: 1 is a whole core. */
    readonly cpuShare: number;
  };
}

/** Milliseconds, from the scheduled time (open loop) to the whole answer. A bad request counts at the timeout. */
export interface Latency {
  readonly p50Ms: number;
  readonly p90Ms: number;
  /** Null below 3,000 requests. */
  readonly p99Ms: number | null;
  /** Null below 30,000 requests. */
  readonly p999Ms: number | null;
  /** The value at which bad requests entered; a percentile at it reads "or more". */
  readonly timeoutMs: number;
}

/** A percentile wants enough requests beyond it: about 30. */
const REQUESTS_MIN_P99 = 3_000;
const REQUESTS_MIN_P999 = 30_000;
/** A batch of the pacing loop and some delay of the scheduler. */
const ON_SCHEDULE_MS = 10;

export function summarize(plan: LoadPlan, recording: Recording): LoadResult {
  const { schedule, outcome, sentMs, doneMs } = recording;
  const all = histogram();
  const lateness = histogram();
  const perStream = plan.streams.map(() => ({ offered: 0, good: 0, latency: histogram() }));
  const seconds = Array.from({ length: Math.ceil(plan.seconds) }, (): SecondTally => ({ offered: {}, good: {}, latency: histogram() }));
  const outcomes = Object.fromEntries(OUTCOMES.map((name) => [name, 0])) as Record<Outcome, number>;
  let onSchedule = 0;
  for (let i = 0; i < schedule.length; i++) {
    const how = OUTCOMES[outcome[i]!]!;
    outcomes[how]++;
    if (how === 'pending') continue;
    const stream = perStream[schedule.stream[i]!]!;
    const { capability } = plan.streams[schedule.stream[i]!]!;
    const from = plan.mode === 'open' ? schedule.atMs[i]! : sentMs[i]!;
    const second = seconds[Math.min(seconds.length - 1, Math.floor(from / 1000))]!;
    const latencyUs = (how === 'good' ? Math.min(doneMs[i]! - from, plan.timeoutMs) : plan.timeoutMs) * 1000;
    stream.offered++;
    second.offered[capability] = (second.offered[capability] ?? 0) + 1;
    if (how === 'good') {
      stream.good++;
      second.good[capability] = (second.good[capability] ?? 0) + 1;
    }
    for (const target of [all, stream.latency, second.latency]) target.recordValue(Math.max(1, Math.round(latencyUs)));
    // Of those that found no free connection too: the generator tried when it was time, and it is the generator that is judged here.
    const lateMs = plan.mode === 'open' ? Math.max(0, sentMs[i]! - schedule.atMs[i]!) : 0;
    lateness.recordValue(Math.round(lateMs * 1000));
    if (lateMs <= ON_SCHEDULE_MS) onSchedule++;
  }
  const offered = schedule.length - outcomes.pending;
  return {
    startedWallMs: recording.startedWallMs,
    offered,
    good: outcomes.good,
    outcomes,
    perCapability: mergeStreams(plan, perStream),
    latency: latencyOf(all, plan),
    series: seconds.map(({ offered, good, latency }, second) => ({
      second,
      offered,
      good,
      p99Ms: latency.totalCount === 0 ? null : Math.min(latency.getValueAtPercentile(99) / 1000, plan.timeoutMs),
    })),
    generator: {
      latenessMs: {
        p50: lateness.getValueAtPercentile(50) / 1000,
        p99: lateness.getValueAtPercentile(99) / 1000,
        max: lateness.maxValue / 1000,
      },
      sentOnScheduleShare: offered === 0 ? 0 : onSchedule / offered,
      cpuShare: recording.cpuMs / recording.elapsedMs,
    },
  };
}

interface SecondTally {
  readonly offered: Partial<Record<Capability, number>>;
  readonly good: Partial<Record<Capability, number>>;
  readonly latency: Histogram;
}

function mergeStreams(
  plan: LoadPlan,
  perStream: ReadonlyArray<{ offered: number; good: number; latency: Histogram }>,
): LoadResult['perCapability'] {
  const merged: Partial<Record<Capability, { offered: number; good: number; latency: Histogram }>> = {};
  for (const [i, { capability }] of plan.streams.entries()) {
    const into = (merged[capability] ??= { offered: 0, good: 0, latency: histogram() });
    into.offered += perStream[i]!.offered;
    into.good += perStream[i]!.good;
    into.latency.add(perStream[i]!.latency);
  }
  return Object.fromEntries(
    Object.entries(merged).map(([capability, { offered, good, latency }]) => [
      capability,
      { offered, good, latency: latencyOf(latency, plan) },
    ]),
  );
}

function latencyOf(values: Histogram, plan: LoadPlan): Latency {
  // A bucket is named by its upper end, which for the one of the time-out lies beyond it.
  const at = (percentile: number) => Math.min(values.getValueAtPercentile(percentile) / 1000, plan.timeoutMs);
  return {
    p50Ms: at(50),
    p90Ms: at(90),
    p99Ms: values.totalCount < REQUESTS_MIN_P99 ? null : at(99),
    p999Ms: values.totalCount < REQUESTS_MIN_P999 ? null : at(99.9),
    timeoutMs: plan.timeoutMs,
  };
}

/** Microseconds up to 100 s, three digits. */
function histogram(): Histogram {
  return build({ lowestDiscernibleValue: 1, highestTrackableValue: 100_000_000, numberOfSignificantValueDigits: 3 });
}
