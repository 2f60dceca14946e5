import type { Key } from './peers/peer.js';

/** What a calling process is asked to do. Plain data, for it crosses a process boundary. */
export type Load = Lockstep | Loop | Arrivals;

/** `width` calls at once, and the next `width` when all of them are answered. */
export interface Lockstep {
  readonly kind: 'lockstep';
  readonly key: Key;
  readonly width: number;
  readonly milliseconds: number;
  /** It goes on until it has made so many, but not beyond `millisecondsMax`: to warm up on a machine that is busy. */
  readonly callsMin?: number;
  readonly millisecondsMax?: number;
}

/** So many callers, each of which calls again when it is answered. */
export interface Loop {
  readonly kind: 'loop';
  readonly key: Key;
  readonly callers: number;
  readonly milliseconds: number;
}

/** Calls that leave when a schedule says so, whatever became of those before: Poisson arrivals. */
export interface Arrivals {
  readonly kind: 'arrivals';
  readonly key: Key;
  readonly seed: number;
  readonly ratePerSecond: number;
  /** On the machine's monotonic clock, so that several processes begin together. */
  readonly startMs: number;
  /** Of the schedule, from its start: those calls are made and not counted. */
  readonly warmMs: number;
  readonly milliseconds: number;
}

export interface LoadResult {
  readonly calls: number;
  readonly elapsedMs: number;
  /** Of each counted call: from when it was made, or was due, to its answer. Empty for lockstep. */
  readonly latenciesMs: Float64Array;
  /** Of each counted arrival: from when it was due to when it was made. */
  readonly latenessMs: Float64Array;
  /** Arrivals that ended in an error; their latency is infinite. Other loads end with the first error. */
  readonly failures: number;
}

/** The machine's monotonic clock, the same in all its processes. */
export function machineNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** @returns NaN of nothing */
export function percentile(values: Float64Array, share: number): number {
  const sorted = values.slice().sort();
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
