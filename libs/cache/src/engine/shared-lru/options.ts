import { hrtime } from 'node:process';
import type { BoundedCacheOptions, CacheClock } from '../bounded-cache.js';
import type { Plan } from './layout.js';
import { VALUE_BYTES_MOST } from './layout.js';

/**
 * What each thread brings itself. `onEvict` is called in the thread whose call made the entry leave, without the lock; not for what was in a shard that had
 * to be emptied. `clock` is asked without a lock too, and must show the same time in all threads; the default does (`performance.now` counts
 * from the start of its thread).
 */
export interface SharedLruCacheListener extends BoundedCacheOptions<string, Uint8Array | null> {
  /** How long a call waits for a lock, from 0; default 100. */
  readonly lockTimeoutMs?: number;
}

export interface SharedLruCacheOptions extends SharedLruCacheListener {
  readonly capacity: number;
  /** Of keys and values, in whole blocks. Taken at once, and 44 bytes more a block for what has to be known of it. */
  readonly bytesMax: number;
  /** Default 64. */
  readonly shards?: number;
  /** Larger values are not held. Default: what fits in a shard. At most 2 GiB less one byte. */
  readonly valueBytesMax?: number;
  /** An entry takes whole blocks; a multiple of 8. Default 320: a key of 64 ASCII characters and a value of 256 bytes. */
  readonly blockBytes?: number;
}

export interface SharedLruCacheCounts {
  readonly hits: number;
  readonly misses: number;
  readonly evictions: number;
  /** Calls that did not get a lock in time. */
  readonly timedOut: number;
  /** Times a shard was emptied because a thread died in it, a change of it threw, or a change did not get its lock. */
  readonly emptied: number;
}

/** Monotonic, and the same in all threads. */
export const THREADS_CLOCK: CacheClock = { nowMs: () => Number(hrtime.bigint()) / 1e6 };

export function planOf({ shards = 64, blockBytes = 320, valueBytesMax, capacity, bytesMax }: SharedLruCacheOptions): Plan {
  return {
    shards,
    entriesMax: capacity,
    bytesMax,
    blockBytes,
    valueBytesMax: valueBytesMax ?? Math.min(Math.floor(bytesMax / shards), VALUE_BYTES_MOST),
    hashSeed: (Math.random() * 2 ** 32) | 0,
  };
}
