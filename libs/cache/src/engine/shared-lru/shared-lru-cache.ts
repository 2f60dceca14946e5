import { threadId } from 'node:worker_threads';
import type { BoundedCache, CacheClock } from '../bounded-cache.js';
import { checkedTtl } from '../bounded-cache.js';
import { tellOf } from '../evictions.js';
import { Blocks } from './blocks.js';
import { Gate } from './gate.js';
import { KeyBytes } from './key-bytes.js';
import type { Layout } from './layout.js';
import { blocksPerShardFor, Control, entriesMaxOf, Head, inscribe, layOut, layoutOf, shardAtOf } from './layout.js';
import type { SharedLruCacheCounts, SharedLruCacheListener, SharedLruCacheOptions } from './options.js';
import { planOf, THREADS_CLOCK } from './options.js';
import { leaveSeat, seatsOf, ShardLock, takeSeat } from './shard-lock.js';
import type { Gone } from './shards.js';
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
 * shard emptied by whoever takes its lock next, so that no thread ever sees what should be gone.
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
  readonly #blocks: Blocks;
  readonly #gate: Gate;
  readonly #seat: number;
  readonly #tally: Tally;
  readonly #key: KeyBytes;
  readonly #ttlMs: number | undefined;
  readonly #clock: CacheClock;
  readonly #onEvict: SharedLruCacheListener['onEvict'];

  private constructor(memory: SharedArrayBuffer, layout: Layout, listener: SharedLruCacheListener) {
    const { onEvict, lockTimeoutMs = 100, ttlMs, clock = THREADS_CLOCK } = listener;
    this.memory = memory;
    this.#layout = layout;
    this.#words = new Int32Array(memory);
    this.#blocks = new Blocks(layout, memory);
    this.#data = new Shards(layout, memory, this.#blocks);
    this.#seat = takeSeat(this.#words, threadId);
    this.#gate = new Gate(memory, new ShardLock(this.#words, this.#seat, lockTimeoutMs), this.#data);
    this.#tally = new Tally(layout, memory);
    this.#key = new KeyBytes(layout.hashSeed);
    this.#ttlMs = checkedTtl(ttlMs);
    this.#clock = clock;
    this.#onEvict = onEvict;
  }

  /** @throws RangeError for bounds that are no whole numbers of 1 or more, or too small for so many shards */
  static create(options: SharedLruCacheOptions): SharedLruCache {
    const plan = planOf(options);
    const layout = layOut(plan);
    const memory = new SharedArrayBuffer(layout.byteLength);
    inscribe(new Int32Array(memory), plan);
    return new SharedLruCache(memory, layout, options);
  }

  /** The cache that another thread made. @throws TypeError when `memory` is none; RangeError when too many threads use it */
  static attach(memory: SharedArrayBuffer, listener: SharedLruCacheListener = {}): SharedLruCache {
    return new SharedLruCache(memory, layoutOf(memory), listener);
  }

  /** This thread uses it no more. */
  [Symbol.dispose](): void {
    leaveSeat(this.#words, this.#seat);
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

  /** Too large is what is over `valueBytesMax`, or does not fit in a shard. */
  add(key: string, value: Uint8Array | null, ttlMs = this.#ttlMs): boolean {
    return this.#put(key, value, -1, ttlMs) > Outcome.HELD;
  }

  /**
   * `add` for what was read from a source of truth at `revision`, unless something was invalidated since, in the shard and with the key's
   * watermark. There are 64 watermarks in a shard, chosen by the hash of the key: another key of the same one may cause a refusal, which costs a miss.
   *
   * @returns whether it is held now: it was not refused, nor too large, and the lock was to be had in time
   */
  fill(key: string, value: Uint8Array | null, revision: number, ttlMs = this.#ttlMs): boolean {
    const outcome = this.#put(key, value, revision, ttlMs);
    return outcome === Outcome.HELD || outcome === Outcome.HELD_FOR_ANOTHER;
  }

  /** Forgets the key, and refuses to `fill` it with what is older than `revision`. */
  invalidate(key: string, revision: number): void {
    const shardAt = this.#locate(key);
    if (!this.#gate.enter(shardAt)) return this.#gate.doom(shardAt, revision);
    this.#data.raiseWatermark(shardAt, this.#key.hash, revision);
    const slotAt = this.#data.find(shardAt, this.#key);
    if (slotAt !== 0) this.#data.remove(shardAt, slotAt);
    this.#gate.leave(shardAt);
  }

  /** What `fill` must not be older than now, to be taken. Infinity when the lock was not to be had. */
  watermark(key: string): number {
    const shardAt = this.#locate(key);
    if (!this.#gate.enter(shardAt)) return Infinity;
    const watermark = this.#data.watermark(shardAt, this.#key.hash);
    this.#gate.leave(shardAt);
    return watermark;
  }

  /** Gives a copy. */
  get(key: string): Buffer | null | undefined {
    const shardAt = this.#locate(key);
    if (!this.#gate.enter(shardAt)) return undefined;
    const slotAt = this.#data.find(shardAt, this.#key);
    if (slotAt === 0 || this.#hasExpired(shardAt, slotAt)) {
      this.#words[shardAt + Control.MISSES]!++;
      this.#leaveWithout(shardAt, slotAt, 'expired');
      return undefined;
    }
    this.#words[shardAt + Control.HITS]!++;
    this.#data.touch(shardAt, slotAt);
    const value = this.#data.valueOf(shardAt, slotAt);
    this.#gate.leave(shardAt);
    return value;
  }

  /** Gives a copy. */
  peek(key: string): Buffer | null | undefined {
    const shardAt = this.#locate(key);
    if (!this.#gate.enter(shardAt)) return undefined;
    const slotAt = this.#data.find(shardAt, this.#key);
    const value = slotAt === 0 || this.#hasExpired(shardAt, slotAt) ? undefined : this.#data.valueOf(shardAt, slotAt);
    this.#gate.leave(shardAt);
    return value;
  }

  contains(key: string): boolean {
    const shardAt = this.#locate(key);
    if (!this.#gate.enter(shardAt)) return false;
    const slotAt = this.#data.find(shardAt, this.#key);
    const present = slotAt !== 0 && !this.#hasExpired(shardAt, slotAt);
    return (this.#gate.leave(shardAt), present);
  }

  remove(key: string): boolean {
    const shardAt = this.#locate(key);
    if (!this.#gate.enter(shardAt)) {
      this.#gate.doom(shardAt);
      return false;
    }
    const slotAt = this.#data.find(shardAt, this.#key);
    const present = slotAt !== 0 && !this.#hasExpired(shardAt, slotAt);
    this.#leaveWithout(shardAt, slotAt, present ? 'removed' : 'expired');
    return present;
  }

  /** Of what has not expired, oldest first within each shard, shard by shard. Of a cache that others change, each shard as it was at one moment. */
  keys(): string[] {
    const keys: string[] = [];
    this.#eachShard((shardAt) => {
      for (let slotAt = this.#data.oldest(shardAt); slotAt !== 0; slotAt = this.#data.newer(shardAt, slotAt))
        if (!this.#hasExpired(shardAt, slotAt)) keys.push(this.#blocks.keyOf(shardAt, slotAt));
    });
    return keys;
  }

  purge(): void {
    const gone: Gone[] = [];
    this.#eachShard((shardAt) => {
      if (this.#onEvict)
        for (let slotAt = this.#data.oldest(shardAt); slotAt !== 0; slotAt = this.#data.newer(shardAt, slotAt))
          gone.push(this.#data.copyOf(shardAt, slotAt, 'purged'));
      this.#data.empty(shardAt);
    });
    tellOf(gone, this.#onEvict);
  }

  /** Memory is fixed: a bound may be lowered, and raised up to what the cache was made with. Bytes are dealt out in whole blocks a shard. */
  resize(capacity: number, bytesMax = this.bytesMax): number {
    const blocks = blocksPerShardFor(this.#layout, capacity, bytesMax);
    Atomics.store(this.#words, Head.CAPACITY, capacity);
    Atomics.store(this.#words, Head.BLOCKS_PER_SHARD, blocks);
    const gone: Gone[] = [];
    let count = 0;
    this.#eachShard((shardAt) => {
      for (; !this.#data.fits(shardAt, entriesMaxOf(this.#layout, shardAt, this.capacity), 0, 0); count++)
        this.#data.evictOldest(shardAt, this.#onEvict && gone);
    });
    tellOf(gone, this.#onEvict);
    return count;
  }

  /**
   * The thread has ended, however: the shards whose lock it held are emptied and free again. Call it on the `exit` of every worker that
   * attached. Safe to repeat, from any thread that lives.
   *
   * @param revision of what the dead thread may have been about to invalidate: those shards refuse to be filled with what is older
   * @returns how many shards were emptied
   */
  threadExited(exitedThreadId: number, revision = 0): number {
    let emptied = 0;
    for (const seat of seatsOf(this.#words, exitedThreadId)) {
      for (let shard = 0; shard < this.#layout.shards; shard++) {
        const shardAt = this.#layout.shardAt + shard * this.#layout.shardWords;
        if (this.#gate.inherit(shardAt, seat, revision)) emptied++;
      }
      leaveSeat(this.#words, seat);
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

  #hasExpired(shardAt: number, slotAt: number): boolean {
    return this.#data.isTimed(slotAt) && this.#clock.nowMs() > this.#data.expiryMs(shardAt, slotAt);
  }

  /** Lets go of the lock, and before that of the entry, if there is one. */
  #leaveWithout(shardAt: number, slotAt: number, reason: 'expired' | 'removed'): void {
    if (slotAt === 0) return this.#gate.leave(shardAt);
    const gone = this.#onEvict && [this.#data.copyOf(shardAt, slotAt, reason)];
    this.#data.remove(shardAt, slotAt);
    this.#gate.leave(shardAt);
    if (gone) tellOf(gone, this.#onEvict);
  }

  /** `revision` below 0: whatever the watermark. */
  #put(key: string, value: Uint8Array | null, revision: number, ttlMs: number | undefined): Outcome {
    const expiryMs = ttlMs === undefined ? undefined : this.#clock.nowMs() + checkedTtl(ttlMs)!;
    const shardAt = this.#locate(key);
    if (!this.#gate.enter(shardAt)) {
      // What is not filled is missing; what is not replaced must not be seen again.
      if (revision < 0) this.#gate.doom(shardAt);
      return Outcome.REFUSED;
    }
    if (revision >= 0 && revision < this.#data.watermark(shardAt, this.#key.hash)) {
      this.#gate.leave(shardAt);
      return Outcome.REFUSED;
    }
    const gone: Gone[] | undefined = this.#onEvict && [];
    const entriesMax = entriesMaxOf(this.#layout, shardAt, this.capacity);
    const outcome = this.#data.store(shardAt, this.#key, { key, value, expiryMs }, entriesMax, gone);
    this.#gate.leave(shardAt);
    if (gone) tellOf(gone, this.#onEvict);
    return outcome;
  }

  /** A shard whose lock is not to be had in time is emptied by the next who gets it, and passed over. */
  #eachShard(visit: (shardAt: number) => void): void {
    for (let shard = 0; shard < this.#layout.shards; shard++) {
      const shardAt = this.#layout.shardAt + shard * this.#layout.shardWords;
      if (!this.#gate.enter(shardAt)) {
        this.#gate.doom(shardAt);
        continue;
      }
      visit(shardAt);
      this.#gate.leave(shardAt);
    }
  }
}
