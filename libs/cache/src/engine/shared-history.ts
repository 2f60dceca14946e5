import type { Lifetime } from '@diptych/kernel';
import { DiptychError } from '@diptych/kernel';
import type { Commit, CommitEvent, LogPort, Position } from '@diptych/log';
import { SharedLruCache } from './shared-lru/shared-lru-cache.js';

/** What threads need to read and fill one cache: its memory, and which history it shows. Can be posted to them. */
export interface SharedHistory {
  readonly memory: SharedArrayBuffer;
  readonly incarnation: string;
  readonly partition: number;
  /** The revision up to which commits have been applied, in 64 bits; then one word that is not 0 once a commit was missed. */
  readonly head: SharedArrayBuffer;
}

/** Up to where the shared cache is known to be level with the log. */
export function headOf({ head }: SharedHistory): number {
  return Number(Atomics.load(new BigInt64Array(head), 0));
}

/** Whether commits were missed, so that nothing in the memory can be believed. @param words of `head` */
export function isLost(words: Int32Array): boolean {
  return Atomics.load(words, LOST_AT) !== 0;
}

/**
 * Keeps a shared cache right, in the thread of the log: every commit takes its key out of it and raises the key's watermark, in the very step
 * in which the log shows the mutation, so before its append is answered. (What the other threads make of that: `ThreadCache`.)
 *
 * The stream is synchronous and so has no gaps. Should it ever have one, nobody answers from the memory any more, and the process says that it is
 * not ready: what could have gone unnoticed once is worse than a slow cache.
 */
export class SharedCacheKeeper {
  readonly history: SharedHistory;
  readonly #cache: SharedLruCache;
  readonly #head: BigInt64Array;
  readonly #onLost: (reason: string) => void;
  #revision: number;

  private constructor(cache: SharedLruCache, position: Position, onLost: (reason: string) => void) {
    const { incarnation, partition, revision } = position;
    const head = new SharedArrayBuffer(HEAD_BYTES);
    this.history = { memory: cache.memory, incarnation, partition, head };
    this.#cache = cache;
    this.#head = new BigInt64Array(head);
    this.#onLost = onLost;
    this.#revision = revision;
    Atomics.store(this.#head, 0, BigInt(revision));
  }

  /**
   * @param position where the log stands. Nothing may be appended until this has resolved
   * @throws INTERNAL when the log does not tell of commits in the step that makes them visible; what `log.commits` throws
   */
  static async open(log: LogPort, position: Position, options: SharedCacheOptions): Promise<SharedCacheKeeper> {
    const { lifetime, entriesMax, bytesMax, onLost } = options;
    // A shard must have room for the largest value, as long as there is so much room at all.
    const shards = Math.max(1, Math.min(SHARDS, entriesMax, Math.floor(bytesMax / SHARD_BYTES_MIN)));
    const cache = SharedLruCache.create({ capacity: entriesMax, bytesMax, shards, blockBytes: Math.min(BLOCK_BYTES, bytesMax & ~7) });
    lifetime.own('cache seat', cache);
    const keeper = new SharedCacheKeeper(cache, position, onLost);
    const subscription = await log.commits((event) => keeper.#take(event));
    lifetime.own('cache commits', subscription);
    if (subscription.delivery !== 'synchronous')
      throw new DiptychError('INTERNAL', 'a shared cache must be kept in the thread of the log, where commits are synchronous');
    return keeper;
  }

  /** A thread that used the cache has ended: what it was changing is emptied. */
  threadExited(threadId: number): void {
    this.#cache.threadExited(threadId);
  }

  #take(event: CommitEvent): void {
    const { incarnation } = event.kind === 'beacon' ? event.head : event;
    const revision = event.kind === 'beacon' ? event.head.revision : event.commit.previous;
    if (incarnation !== this.history.incarnation || revision !== this.#revision) this.#giveUp(incarnation, revision);
    if (event.kind === 'commit') this.#apply(event.commit);
  }

  #apply({ key, revision }: Commit): void {
    this.#cache.invalidate(key, revision);
    this.#revision = revision;
    Atomics.store(this.#head, 0, BigInt(revision));
  }

  #giveUp(incarnation: string, revision: number): void {
    const words = new Int32Array(this.history.head);
    if (Atomics.exchange(words, LOST_AT, 1) === 0)
      this.#onLost(
        `the shared cache missed commits: the log is at revision ${revision} of ${incarnation}, the cache knew of ${this.#revision}; ` +
          'it is not used until a restart',
      );
    this.#revision = revision;
  }
}

export interface SharedCacheOptions {
  /** Ends the following when it closes. */
  readonly lifetime: Lifetime;
  readonly entriesMax: number;
  /** Of keys, values and content types, in whole blocks. */
  readonly bytesMax: number;
  /** It has missed commits, which must not be. Called once. */
  readonly onLost: (reason: string) => void;
}

const HEAD_BYTES = 16;
const LOST_AT = 2;
const SHARDS = 64;
/** Of the largest value, with its key in two bytes a character, content type and header: 1,048,000 bytes is what a message may have. */
const SHARD_BYTES_MIN = 1_048_576;
const BLOCK_BYTES = 320;
