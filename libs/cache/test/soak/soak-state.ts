/** What the threads of a soak share beside the cache. */
export interface SoakThread {
  readonly memory: SharedArrayBuffer;
  /** By `Found`. */
  readonly found: Int32Array;
  /** By key: the newest revision that an invalidation which has returned was for. */
  readonly invalidated: Int32Array;
  readonly seed: number;
  /** Of all threads together. */
  readonly operations: number;
  /** Whether it looks at what leaves the cache. */
  readonly watching: boolean;
}

export interface SoakTask {
  readonly seed: number;
  readonly operations: number;
  readonly threads: number;
  /** Times a thread is terminated in the middle of its work, and another started in its place. */
  readonly kills: number;
}

export interface SoakReport {
  readonly operations: number;
  /** Values looked at. */
  readonly checked: number;
  readonly torn: number;
  readonly stale: number;
  /** Looks at the bounds, and how often one was exceeded. */
  readonly looks: number;
  readonly overBound: number;
  readonly kills: number;
  /** Kills that hit a thread while it held a lock. */
  readonly killsInside: number;
  readonly problems: readonly string[];
  readonly counts: object;
  /** Resident memory in MB, at equal distances. */
  readonly rssMb: readonly number[];
  readonly seconds: number;
}

export const Found = { OPERATIONS: 0, REVISION: 1, TORN: 2, STALE: 3, CHECKED: 4 } as const;
/** Operations between two looks at the clock of the soak. */
export const STEP = 64;
export const KEYS = 4_000;
export const CAPACITY = 1_500;
export const BYTES_MAX = 1_000_000;
export const SHARDS = 16;
export const BLOCK_BYTES = 128;
/** More than a shard can hold. */
export const VALUE_BYTES_MAX = 80_000;

/** Resident memory, looked at so many times at equal distances. */
export class RssLooks {
  readonly mb: number[] = [];

  constructor(readonly operations: number) {}

  look(done: number): void {
    if (this.mb.length < RSS_LOOKS && done >= (this.mb.length * this.operations) / RSS_LOOKS)
      this.mb.push(Math.round(process.memoryUsage.rss() / 1e6));
  }
}

const RSS_LOOKS = 20;
