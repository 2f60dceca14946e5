import type { CallContext } from '@diptych/kernel';
import type { Entry, Position } from '@diptych/log';

/**
 * The cache: a bounded, least-recently-used set of entries in front of the log.
 *
 * What it promises about a read: never an entry that was not durable, never one older than `maxStaleMs` allows, and with a
 * token never one older than the token. In one process with the log, a read that starts after an acknowledged write sees it.
 *
 * Every method may throw DEADLINE_EXCEEDED, CANCELLED, OVERLOADED, UNAVAILABLE, CONNECTION_LOST and INTERNAL; a read
 * that misses also throws what the log throws.
 */
export interface CachePort {
  /**
   * The entry of a key, from memory when that is fresh enough, else from the log. However many wait for one missing key, the log is
   * read once. Safe to repeat.
   */
  get(request: CacheGetRequest, context: CallContext): Promise<CacheGetReply>;

  stats(request: Record<string, never>, context: CallContext): Promise<CacheStats>;

  /** Drops all entries; the next reads go to the log. Safe to repeat. */
  purge(request: Record<string, never>, context: CallContext): Promise<{ readonly dropped: number }>;
}

export interface CacheGetRequest {
  readonly key: string;
  /**
   * The reader has seen this state and must not be shown an older one. Of another partition it is ignored; of another
   * incarnation than the cache follows, the cache reads through.
   */
  readonly token?: Position | undefined;
}

export interface CacheGetReply {
  /** Undefined when the key is absent. */
  readonly entry?: Entry | undefined;
  readonly asOf: Position;
  /** Answered from memory. */
  readonly hit: boolean;
}

export interface CacheStats {
  readonly entries: number;
  readonly entriesMax: number;
  readonly bytes: number;
  readonly bytesMax: number;
  readonly hits: number;
  readonly misses: number;
  /** Reads that memory could have answered but was not allowed to, for want of a fresh beacon or by a token. */
  readonly readThroughs: number;
  readonly evictions: number;
  /** Times the cache had to forget all because history restarted or was no longer known. */
  readonly resyncs: number;
  /** Times it noticed missing commits and fetched them. */
  readonly gaps: number;
}
