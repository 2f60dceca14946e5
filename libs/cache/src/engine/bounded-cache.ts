import type { EvictReason } from './evictions.js';

/**
 * What every cache of the project does, after Go's `simplelru`: it holds no more than `capacity` values and `bytesMax` bytes, and forgets the least
 * recently used first.
 *
 * An absence may be remembered too, where `Value` has `null` in it: then `get` answers `null` (it is known that there is nothing), which is not
 * `undefined` (nothing is known). It counts as an entry, has its place in the order of use, and may have a shorter life.
 *
 * A value with a time to live is not shown any more once more than `ttlMs` have passed. It leaves when somebody looks it up with `get` or `remove`, or
 * when its turn comes; until then it still counts in `length` and `bytes`.
 */
export interface BoundedCache<Key, Value> {
  /** Values held, those included that have expired and were not looked up since. */
  readonly length: number;
  readonly capacity: number;
  readonly bytes: number;
  readonly bytesMax: number;
  /** Values pushed out by a bound since the cache was made. */
  readonly evictions: number;

  /**
   * Makes `value` the most recent one, in place of what the key held (which is not reported to `onEvict`). A value that alone is too large for
   * the cache is itself what gets evicted.
   *
   * @param ttlMs above 0; default: that of the cache, or no end
   * @returns whether a bound pushed anything out
   * @throws RangeError for a `ttlMs` that is not above 0
   */
  add(key: Key, value: Value, ttlMs?: number): boolean;

  /** The value, now the most recently used one. */
  get(key: Key): Value | undefined;

  /** The value; its recency stays as it is. */
  peek(key: Key): Value | undefined;

  /** Does not touch recency. */
  contains(key: Key): boolean;

  /** @returns whether the key was there */
  remove(key: Key): boolean;

  /** Of what has not expired, oldest first. */
  keys(): Key[];

  /** Forgets everything. */
  purge(): void;

  /**
   * Changes the bounds; `bytesMax` stays as it is when not given.
   *
   * @returns how many values the new bounds pushed out, oldest first
   * @throws RangeError for bounds that the cache cannot have
   */
  resize(capacity: number, bytesMax?: number): number;
}

/** What caches of either kind are told when they are made. */
export interface BoundedCacheOptions<Key, Value> {
  /** How long a value is shown that was added without a `ttlMs` of its own. Default: without end. */
  readonly ttlMs?: number | undefined;
  /** Read only where a value has a time to live. */
  readonly clock?: CacheClock | undefined;
  /**
   * Called after the change is complete, once for each value that left, oldest first, except for those replaced under their own key. It
   * may use the cache. What it throws reaches whoever made the change, after all callbacks have run.
   */
  readonly onEvict?: ((key: Key, value: Value, reason: EvictReason) => void) | undefined;
}

/** The part of a `Clock` that a cache reads: monotonic milliseconds. */
export interface CacheClock {
  nowMs(): number;
}

export function assertBound(name: string, bound: number): void {
  if (!Number.isSafeInteger(bound) || bound < 1) throw new RangeError(`${name} must be a whole number of 1 or more, is ${bound}`);
}

/** @returns it @throws RangeError when it is not above 0 */
export function checkedTtl(ttlMs: number | undefined): number | undefined {
  if (ttlMs !== undefined && !(ttlMs > 0)) throw new RangeError(`ttlMs must be above 0, is ${ttlMs}`);
  return ttlMs;
}
