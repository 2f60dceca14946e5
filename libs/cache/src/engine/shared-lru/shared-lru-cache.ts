import { threadId } from 'node:worker_threads';
import type { BoundedCache, CacheClock } from '../bounded-cache.js';
import { checkedTtl } from '../bounded-cache.js';
import { tellOf } from '../evictions.js';
import { AllShards } from './all-shards.js';
import { checkedListener, checkedRevision, checkedValue } from './arguments.js';
import { Blocks } from './blocks.js';
import { Copies } from './copies.js';
import { Gate } from './gate.js';
import { KeyBytes } from './key-bytes.js';
import type { Layout } from './layout.js';
import { blocksPerShardFor, entriesMaxOf, Head, inscribe, layOut, layoutOf, shardAtOf } from './layout.js';
import type { SharedLruCacheCounts, SharedLruCacheListener, SharedLruCacheOptions } from './options.js';
import { planOf } from './options.js';
import { leaveSeat, seatsOf, ShardLock, takeSeat } from './shard-lock.js';
import type { Entry, Gone } from './shards.js';
import { Outcome, Shards } from './shards.js';
import { Tally } from './tally.js';

/**
 * The cache of all threads of a process, over one SharedArrayBuffer. Keys are strings, values bytes; both are copied in and out, so
 * nobody holds memory of another thread.
 *
 * Memory is fixed: it is taken when the cache is made, and never grows. Entries are spread over `shards` by the hash of their key; each
 * shard has a lock, and within a shard the least recently used leaves first, exactly. With one shard that is the order of the whole cache,
 * with more it is nearly so, and threads seldom wait for each other.
 *
 * No call waits longer than `lockTimeoutMs` for a lock. A look-up that had to give up is a miss; a change that had to give up has the
 * shard emptied by whoever takes its lock next, so that no thread ever sees what should be gone. Whatever throws under a lock (there was no memory for
 * a copy, say), the lock is let go of; a shard that was being changed is empty then, its watermarks stay.
 *
 * A thread may die at any moment, also while it holds a lock. Whoever learns of it calls `threadExited`: the shards it was changing are emptied
 * (their watermarks stay, or are raised), and go on.
 */
export class SharedLruCache implements BoundedCache<string, Uint8Array | null> {
  /** For other threads: post it to them, and `attach`. */
  readonly memory: SharedArrayBuffer;
  readonly #layout: Layout;
  readonly #words: Int32Array;
  readonly #data: Shards;
  readonly #gate: Gate;
  readonly #seat: number;
  readonly #tally: Tally;
  readonly #key: KeyBytes;
  readonly #copies: Copies;
  readonly #all: AllShards;
  readonly #ttlMs: number | undefined;
  readonly #clock: CacheClock;
  readonly #onEvict: SharedLruCacheListener['onEvict'];

  private constructor(memory: SharedArrayBuffer, layout: Layout, listener: ReturnType<typeof checkedListener>) {
    this.memory = memory;
    this.#layout = layout;
    this.#words = new Int32Array(memory);
    const blocks = new Blocks(layout, memory);
    this.#data = new Shards(layout, memory, blocks);
    this.#tally = new Tally(layout, memory);
    this.#key = new KeyBytes(layout.hashSeed);
    this.#ttlMs = listener.ttlMs;
    this.#clock = listener.clock;
    this.#onEvict = listener.onEvict;
    this.#seat = takeSeat(this.#words, threadId);
    this.#gate = new Gate(memory, new ShardLock(this.#words, this.#seat, listener.lockTimeoutMs), this.#data);
    this.#copies = new Copies(memory, this.#gate, this.#data, blocks);
    this.#all = new AllShards(layout, memory, this.#gate, this.#data, blocks);
  }

  /** @throws RangeError for bounds that are no whole numbers of 1 or more, or too small for so many shards, or times that cannot be */
  static create(options: SharedLruCacheOptions): SharedLruCache {
    const listener = checkedListener(options);
    const plan = planOf(options);
    const layout = layOut(plan);
    const memory = new SharedArrayBuffer(layout.byteLength);
    inscribe(new Int32Array(memory), plan);
    return new SharedLruCache(memory, layout, listener);
  }

  /** The cache that another thread made. @throws TypeError when `memory` is none; RangeError for times that cannot be, or when too many threads use it */
  static attach(memory: SharedArrayBuffer, listener: SharedLruCacheListener = {}): SharedLruCache {
    return new SharedLruCache(memory, layoutOf(memory), checkedListener(listener));
  }

  /**
   * This thread uses it no more, and changes nothing in it any more. After it whatever is looked up is missing, `fill` is refused, `threadExited` does nothing;
   * all that would have to change something throws. Safe to repeat.
   */
  [Symbol.dispose](): void {
    if (this.#gate.close()) leaveSeat(this.#words, this.#seat, threadId);
  }

  get length(): number {
    return this.#tally.entries;
  }

  get capacity(): number {
    return Atomics.load(this.#words, Head.CAPACITY);
  }

  /** Of the blocks that entries take, keys included. */
  get bytes(): number {
    return this.#tally.bytes;
  }

  get bytesMax(): number {
    return this.#layout.shards * Atomics.load(this.#words, Head.BLOCKS_PER_SHARD) * this.#layout.blockBytes;
  }

  get evictions(): number {
    return this.#tally.counts.evictions;
  }

  /** Since it was made, by all threads. Counters wrap at 2^32. */
  get counts(): SharedLruCacheCounts {
    return this.#tally.counts;
  }

  /** Too large is what is over `valueBytesMax`, or does not fit in a shard. The value may lie in shared memory, also in some that can grow. */
  add(key: string, value: Uint8Array | null, ttlMs = this.#ttlMs): boolean {
    return this.#put(key, value, -1, ttlMs) > Outcome.HELD;
  }

  /**
   * `add` for what was read from a source of truth at `revision`, unless something was invalidated since, in the shard and with the key's
   * watermark. There are 64 watermarks in a shard, chosen by the hash of the key: another key of the same one may cause a refusal, which costs a miss.
   *
   * @returns whether it is held now: it was not refused, nor too large, and the lock was to be had in time
   * @throws RangeError for a revision that is no whole number of 0 or more
   */
  fill(key: string, value: Uint8Array | null, revision: number, ttlMs = this.#ttlMs): boolean {
    const outcome = this.#put(key, value, checkedRevision(revision), ttlMs);
    return outcome === Outcome.HELD || outcome === Outcome.HELD_FOR_ANOTHER;
  }

  /** Forgets the key, and refuses to `fill` it with what is older than `revision`: also when it throws. @throws RangeError as `fill`, having done nothing */
  invalidate(key: string, revision: number): void {
    checkedRevision(revision);
    const shardAt = this.#locate(key);
    let done: true | undefined;
    try {
      done = this.#gate.change(shardAt, () => {
        this.#data.raiseWatermark(shardAt, this.#key.hash, revision);
        const slotAt = this.#data.find(shardAt, this.#key);
        if (slotAt !== 0) this.#data.remove(shardAt, slotAt);
        return true;
      });
    } finally {
      if (!done) this.#gate.doom(shardAt, revision);
    }
  }

  /** What `fill` must not be older than now, to be taken. Infinity when the lock was not to be had. */
  watermark(key: string): number {
    const shardAt = this.#locate(key);
    return this.#gate.look(shardAt, () => this.#data.watermark(shardAt, this.#key.hash)) ?? Infinity;
  }

  /** Gives a copy. */
  get(key: string): Buffer | null | undefined {
    return this.#look(key, true);
  }

  /** Gives a copy. */
  peek(key: string): Buffer | null | undefined {
    return this.#look(key, false);
  }

  contains(key: string): boolean {
    const nowMs = this.#nowMs();
    const shardAt = this.#locate(key);
    return this.#gate.look(shardAt, () => this.#data.isShown(shardAt, this.#data.find(shardAt, this.#key), nowMs)) ?? false;
  }

  remove(key: string): boolean {
    const nowMs = this.#nowMs();
    const shardAt = this.#locate(key);
    const gone: Gone[] | undefined = this.#onEvict && [];
    const present = this.#gate.change(shardAt, () => {
      const slotAt = this.#data.find(shardAt, this.#key);
      const isShown = this.#data.isShown(shardAt, slotAt, nowMs);
      if (slotAt !== 0) this.#data.drop(shardAt, slotAt, isShown ? 'removed' : 'expired', gone);
      return isShown;
    });
    if (gone) tellOf(gone, this.#onEvict);
    return present ?? (this.#gate.doom(shardAt), false);
  }

  /**
   * Of what has not expired, oldest first within each shard, shard by shard. Of a cache that others change, each shard as it was at one moment; without those
   * whose lock was not to be had in time. Others wait for a shard as long as its keys take to copy.
   */
  keys(): string[] {
    return this.#all.keys(this.#nowMs());
  }

  purge(): void {
    this.#telling((gone) => this.#all.purge(gone));
  }

  /** Memory is fixed: a bound may be lowered, and raised up to what the cache was made with. Bytes are dealt out in whole blocks a shard. */
  resize(capacity: number, bytesMax = this.bytesMax): number {
    const blocks = blocksPerShardFor(this.#layout, capacity, bytesMax);
    this.#gate.assertOpen();
    Atomics.store(this.#words, Head.CAPACITY, capacity);
    Atomics.store(this.#words, Head.BLOCKS_PER_SHARD, blocks);
    return this.#telling((gone) => this.#all.shrink(gone));
  }

  /**
   * The thread has ended, however: the shards whose lock it held are emptied and free again. Call it on the `exit` of every worker that
   * attached. Safe to repeat, but from one thread only, the one that started the workers: a second one could take a lock from
   * whoever has been given the seat meanwhile.
   *
   * @param revision of what the dead thread may have been about to invalidate: those shards refuse to be filled with what is older
   * @returns how many shards were emptied
   * @throws RangeError as `fill`
   */
  threadExited(exitedThreadId: number, revision = 0): number {
    checkedRevision(revision);
    if (this.#gate.isClosed) return 0;
    let emptied = 0;
    for (const seat of seatsOf(this.#words, exitedThreadId)) {
      emptied += this.#all.inherit(seat, revision);
      leaveSeat(this.#words, seat, exitedThreadId);
    }
    return emptied;
  }

  /** Which shard a key belongs to, from 0. */
  shardOf(key: string): number {
    return (this.#locate(key) - this.#layout.shardAt) / this.#layout.shardWords;
  }

  /** Sets the key to work with. @returns the first word of its shard */
  #locate(key: string): number {
    return shardAtOf(this.#layout, this.#key.set(key).hash);
  }

  /** What it is when a call begins, if there may be entries that expire: whatever the clock does, it does it without a lock. */
  #nowMs(): number {
    // Who begins before the first one is added sees none expire: none does before it was added.
    return Atomics.load(this.#words, Head.TIMED) === 0 ? -Infinity : this.#clock.nowMs();
  }

  #look(key: string, isUse: boolean): Buffer | null | undefined {
    const nowMs = this.#nowMs();
    const gone: Gone[] | undefined = this.#onEvict && [];
    const copy = this.#copies.of(this.#locate(key), this.#key, nowMs, isUse, gone);
    if (gone) tellOf(gone, this.#onEvict);
    return copy;
  }

  /** `revision` below 0: whatever the watermark. */
  #put(key: string, value: Uint8Array | null, revision: number, ttlMs: number | undefined): Outcome {
    const steady = value && checkedValue(value);
    const entry = { key, value: steady, expiryMs: ttlMs === undefined ? undefined : checkedTtl(ttlMs)! + this.#clock.nowMs() };
    const shardAt = this.#locate(key);
    const gone: Gone[] | undefined = this.#onEvict && [];
    let outcome: Outcome | undefined;
    if (this.#gate.enter(shardAt)) {
      try {
        this.#gate.beginChange();
        outcome = this.#store(shardAt, entry, revision, gone);
        this.#gate.endChange();
      } finally {
        this.#gate.leave(shardAt);
      }
    }
    if (outcome === undefined) {
      // What is not filled is missing; what is not replaced must not be seen again.
      if (revision < 0) this.#gate.doom(shardAt);
      return Outcome.REFUSED;
    }
    if (gone) tellOf(gone, this.#onEvict);
    return outcome;
  }

  #store(shardAt: number, entry: Entry, revision: number, gone: Gone[] | undefined): Outcome {
    if (revision >= 0 && revision < this.#data.watermark(shardAt, this.#key.hash)) return Outcome.REFUSED;
    if (entry.expiryMs !== undefined) Atomics.store(this.#words, Head.TIMED, 1);
    return this.#data.store(shardAt, this.#key, entry, entriesMaxOf(this.#layout, shardAt, this.capacity), gone);
  }

  #telling<Result>(change: (gone: Gone[] | undefined) => Result): Result {
    const gone: Gone[] | undefined = this.#onEvict && [];
    try {
      return change(gone);
    } finally {
      if (gone) tellOf(gone, this.#onEvict);
    }
  }
}
