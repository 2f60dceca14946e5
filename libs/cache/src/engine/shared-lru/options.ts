import type { EvictReason } from '../evictions.js';

export interface SharedLruCacheListener {
  /** In the thread whose call made the entry leave, after the change, without the lock; as `onEvict` of `LruCache`. */
  readonly onEvict?: ((key: string, value: Uint8Array, reason: EvictReason) => void) | undefined;
  /** How long a call waits for a lock; default 100. */
  readonly lockTimeoutMs?: number;
}

export interface SharedLruCacheOptions extends SharedLruCacheListener {
  readonly capacity: number;
  /** Of keys and values, in whole blocks. Taken at once. */
  readonly bytesMax: number;
  /** Default 64. */
  readonly shards?: number;
  /** Larger values are not held. Default: what fits in a shard. */
  readonly valueBytesMax?: number;
  /** An entry takes whole blocks; a multiple of 8. Default 320: a key of 32 characters and a value of 256 bytes. */
  readonly blockBytes?: number;
}

export interface SharedLruCacheCounts {
  readonly hits: number;
  readonly misses: number;
  readonly evictions: number;
  /** Calls that did not get a lock in time. */
  readonly timedOut: number;
  /** Times a shard was emptied because a thread died in it, or a change did not get its lock. */
  readonly emptied: number;
}
