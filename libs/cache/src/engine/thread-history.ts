import type { CallContext, Lifetime } from '@diptych/kernel';
import { DiptychError } from '@diptych/kernel';
import type { Commit, CommitEvent, LogPort, Position, ReadReply } from '@diptych/log';
import { packReply } from './packed-reply.js';
import { SharedLruCache } from './shared-lru/shared-lru-cache.js';
import type { Warmable } from './warm-up.js';

/** What threads need to read and fill one cache: its memory, and which history it shows. Can be posted to them. */
export interface SharedHistory {
  readonly memory: SharedArrayBuffer;
  readonly incarnation: string;
  readonly partition: number;
  /** The revision up to which commits have been applied, in 64 bits; then the epoch, in 32. */
  readonly head: SharedArrayBuffer;
}

/** Up to where the shared cache is known to be level with the log. */
export function headOf({ head }: SharedHistory): number {
  return Number(Atomics.load(new BigInt64Array(head), 0));
}

/** What was read from the log in an earlier epoch is not believed any more. @param words of `head` */
export function epochOf(words: Int32Array): number {
  return Atomics.load(words, EPOCH_AT) >>> 0;
}

/** Reads a key from the log, and fills the shared cache with what may be kept of it: what `isWanted` by then, and is not older than what is known. */
export async function readInto(
  cache: SharedLruCache,
  history: SharedHistory,
  log: LogPort,
  key: string,
  context: CallContext,
  isWanted: () => boolean = () => true,
): Promise<ReadReply> {
  const epoch = epochOf(new Int32Array(history.head));
  const reply = await log.read({ key }, context);
  // Of another incarnation than the one followed it could not be told from what is older.
  if (isWanted() && reply.asOf.incarnation === history.incarnation) cache.fill(key, packReply(reply, epoch), reply.asOf.revision);
  return reply;
}

/**
 * Keeps a shared cache right, in the thread of the log: every commit takes its key out of it and raises the key's watermark, in the very step
 * in which the log shows the mutation, so before its append is answered. (What the other threads make of that: `ThreadCache`.)
 *
 * The stream is synchronous, so nothing is missed. Revisions can be left out all the same, after a failed write was cut off (ADR 0019); then a new
 * epoch begins, which makes all that is held, and all that is being read, worthless.
 */
export class SharedCacheKeeper implements Warmable {
  readonly history: SharedHistory;
  readonly #log: LogPort;
  readonly #cache: SharedLruCache;
  readonly #head: BigInt64Array;
  readonly #onGap: (revision: number) => void;
  #revision: number;

  private constructor(log: LogPort, cache: SharedLruCache, position: Position, onGap: (revision: number) => void) {
    const { incarnation, partition, revision } = position;
    const head = new SharedArrayBuffer(HEAD_BYTES);
    this.history = { memory: cache.memory, incarnation, partition, head };
    this.#log = log;
    this.#cache = cache;
    this.#head = new BigInt64Array(head);
    this.#onGap = onGap;
    this.#revision = revision;
    Atomics.store(this.#head, 0, BigInt(revision));
  }

  /**
   * @param position where the log stands. Nothing may be appended until this has resolved
   * @throws INTERNAL when the log does not tell of commits in the step that makes them visible; what `log.commits` throws
   */
  static async open(log: LogPort, position: Position, options: SharedCacheOptions): Promise<SharedCacheKeeper> {
    const { lifetime, entriesMax, bytesMax, onGap } = options;
    // A shard must have room for the largest value, as long as there is so much room at all.
    const shards = Math.max(1, Math.min(SHARDS, entriesMax, Math.floor(bytesMax / SHARD_BYTES_MIN)));
    const cache = SharedLruCache.create({
      capacity: entriesMax,
      bytesMax,
      shards,
      blockBytes: Math.min(BLOCK_BYTES, Math.floor(bytesMax / 8) * 8),
    });
    lifetime.own('cache seat', cache);
    const keeper = new SharedCacheKeeper(log, cache, position, onGap);
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

  counts(): { readonly entries: number; readonly bytes: number; readonly evictions: number } {
    return { entries: this.#cache.length, bytes: this.#cache.bytes, evictions: this.#cache.counts.evictions };
  }

  /** Reads the key from the log, for all threads, unless it is there. @throws what the log throws */
  async fill(key: string, context: CallContext): Promise<void> {
    if (!this.#cache.contains(key)) await readInto(this.#cache, this.history, this.#log, key, context);
  }

  /** Makes the key the last to be forgotten in its shard, if it is held. */
  touch(key: string): void {
    this.#cache.get(key);
  }

  #take(event: CommitEvent): void {
    const { incarnation } = event.kind === 'beacon' ? event.head : event;
    const revision = event.kind === 'beacon' ? event.head.revision : event.commit.previous;
    if (incarnation !== this.history.incarnation || revision !== this.#revision) this.#beginEpoch(revision);
    if (event.kind === 'commit') this.#apply(event.commit);
  }

  #apply({ key, revision }: Commit): void {
    this.#cache.invalidate(key, revision);
    this.#revision = revision;
    Atomics.store(this.#head, 0, BigInt(revision));
  }

  #beginEpoch(revision: number): void {
    Atomics.add(new Int32Array(this.history.head), EPOCH_AT, 1);
    this.#onGap(revision);
    this.#revision = revision;
  }
}

export interface SharedCacheOptions {
  /** Ends the following when it closes. */
  readonly lifetime: Lifetime;
  readonly entriesMax: number;
  /** Of keys, values and content types, in whole blocks. */
  readonly bytesMax: number;
  /** The log went on at this revision, which is not the next. */
  readonly onGap: (revision: number) => void;
}

const HEAD_BYTES = 16;
const EPOCH_AT = 2;
const SHARDS = 64;
/** Of the largest value, with its key in two bytes a character, content type and header: 1,048,000 bytes is what a message may have. */
const SHARD_BYTES_MIN = 1_048_576;
const BLOCK_BYTES = 320;
