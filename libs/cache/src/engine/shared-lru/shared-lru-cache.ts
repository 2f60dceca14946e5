import { threadId } from 'node:worker_threads';
import { tellOf } from '../evictions.js';
import { Blocks } from './blocks.js';
import { Gate } from './gate.js';
import { hashOf } from './hash.js';
import type { Layout } from './layout.js';
import { Control, entriesMaxOf, Head, inscribe, layOut, layoutOf, shardAtOf } from './layout.js';
import type { SharedLruCacheCounts, SharedLruCacheListener, SharedLruCacheOptions } from './options.js';
import { leaveSeat, seatsOf, ShardLock, takeSeat } from './shard-lock.js';
import type { Gone } from './shards.js';
import { Shards } from './shards.js';

/**
 * The interface of `LruCache` over one SharedArrayBuffer: any number of threads of a process see one cache. Keys are strings, values
 * bytes; both are copied in and out, so nobody holds memory of another thread.
 *
 * Memory is fixed: it is taken when the cache is made, and never grows. Entries are spread over `shards` by the hash of their key; each
 * shard has a lock, and within a shard the least recently used leaves first, exactly. With one shard that is the order of the whole cache,
 * with more it is nearly so, and threads seldom wait for each other.
 *
 * No call waits longer than `lockTimeoutMs` for a lock. A look-up that had to give up is a miss; a change that had to give up has the
 * shard emptied by whoever takes its lock next, so that no thread ever sees what should be gone.
 *
 * A thread may die at any moment, also while it holds a lock. Whoever learns of it calls `threadExited`: the shards it was changing are emptied
 * (their watermarks stay), and go on.
 */
export class SharedLruCache {
  /** For other threads: post it to them, and `attach`. */
  readonly memory: SharedArrayBuffer;
  readonly #layout: Layout;
  readonly #words: Int32Array;
  readonly #data: Shards;
  readonly #blocks: Blocks;
  readonly #gate: Gate;
  readonly #seat: number;
  readonly #onEvict: SharedLruCacheListener['onEvict'];

  private constructor(memory: SharedArrayBuffer, layout: Layout, { onEvict, lockTimeoutMs = 100 }: SharedLruCacheListener) {
    this.memory = memory;
    this.#layout = layout;
    this.#words = new Int32Array(memory);
    this.#blocks = new Blocks(layout, memory);
    this.#data = new Shards(layout, memory, this.#blocks);
    this.#seat = takeSeat(this.#words, threadId);
    this.#gate = new Gate(memory, new ShardLock(this.#words, this.#seat, lockTimeoutMs), this.#data);
    this.#onEvict = onEvict;
  }

  /** @throws RangeError for bounds that are no whole numbers of 1 or more, or too small for so many shards */
  static create({ shards = 64, blockBytes = 320, valueBytesMax, capacity, bytesMax, ...listener }: SharedLruCacheOptions): SharedLruCache {
    const plan = {
      shards,
      entriesMax: capacity,
      bytesMax,
      blockBytes,
      valueBytesMax: valueBytesMax ?? Math.floor(bytesMax / shards),
      hashSeed: (Math.random() * 2 ** 32) | 0,
    };
    const layout = layOut(plan);
    const memory = new SharedArrayBuffer(layout.byteLength);
    inscribe(new Int32Array(memory), plan);
    return new SharedLruCache(memory, layout, listener);
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
    return this.#sum(Control.COUNT);
  }

  get capacity(): number {
    return Atomics.load(this.#words, Head.CAPACITY);
  }

  /** Of the blocks that entries take, keys included. */
  get bytes(): number {
    return this.#sum(Control.BLOCKS_USED) * this.#layout.blockBytes;
  }

  get bytesMax(): number {
    const { shards, blocksPerShard, blockBytes } = this.#layout;
    return shards * blocksPerShard * blockBytes;
  }

  /** Entries pushed out by a bound, by any thread. */
  get evictions(): number {
    return this.#sum(Control.EVICTIONS) >>> 0;
  }

  /** Since it was made, by all threads. Counters wrap at 2^32. */
  get counts(): SharedLruCacheCounts {
    return {
      hits: this.#sum(Control.HITS) >>> 0,
      misses: this.#sum(Control.MISSES) >>> 0,
      evictions: this.evictions,
      timedOut: this.#sum(Control.TIMED_OUT) >>> 0,
      emptied: this.#sum(Control.EMPTIED) >>> 0,
    };
  }

  /**
   * Makes `value` the most recent one, in place of what the key held. One that is too large for the cache (`valueBytesMax`, or a shard) is
   * itself what gets evicted.
   *
   * @returns whether a bound pushed anything out
   */
  add(key: string, value: Uint8Array): boolean {
    return this.#put(key, value, -1);
  }

  /**
   * `add` for what was read from a source of truth at `revision`, unless something was invalidated since, in the shard and with the key's
   * watermark. There are 64 watermarks in a shard, chosen by the hash of the key: another key of the same one may cause a refusal, which costs a miss.
   *
   * @returns whether it is held now
   */
  fill(key: string, value: Uint8Array, revision: number): boolean {
    this.#put(key, value, revision);
    return this.contains(key);
  }

  /** Forgets the key, and refuses to `fill` it with what is older than `revision`. */
  invalidate(key: string, revision: number): void {
    const hash = hashOf(key, this.#layout.hashSeed);
    const shardAt = shardAtOf(this.#layout, hash);
    if (!this.#gate.enter(shardAt)) return this.#gate.doom(shardAt, revision);
    this.#data.raiseWatermark(shardAt, hash, revision);
    const slotAt = this.#data.find(shardAt, hash, key);
    if (slotAt !== 0) this.#data.remove(shardAt, slotAt);
    this.#gate.leave(shardAt);
  }

  /** A copy of the value, now the most recently used one. */
  get(key: string): Buffer | undefined {
    return this.#look(key, true);
  }

  /** A copy of the value; its recency stays as it is. */
  peek(key: string): Buffer | undefined {
    return this.#look(key, false);
  }

  /** Does not touch recency. */
  contains(key: string): boolean {
    const hash = hashOf(key, this.#layout.hashSeed);
    const shardAt = shardAtOf(this.#layout, hash);
    if (!this.#gate.enter(shardAt)) return false;
    const found = this.#data.find(shardAt, hash, key) !== 0;
    this.#gate.leave(shardAt);
    return found;
  }

  /** @returns whether the key was there */
  remove(key: string): boolean {
    const hash = hashOf(key, this.#layout.hashSeed);
    const shardAt = shardAtOf(this.#layout, hash);
    if (!this.#gate.enter(shardAt)) {
      this.#gate.doom(shardAt);
      return false;
    }
    const slotAt = this.#data.find(shardAt, hash, key);
    const gone = this.#onEvict && slotAt !== 0 ? [this.#data.copyOf(shardAt, slotAt, 'removed')] : undefined;
    if (slotAt !== 0) this.#data.remove(shardAt, slotAt);
    this.#gate.leave(shardAt);
    if (gone) tellOf(gone, this.#onEvict);
    return slotAt !== 0;
  }

  /** Oldest first within each shard, shard by shard. Of a cache that others change, each shard as it was at one moment. */
  keys(): string[] {
    const keys: string[] = [];
    this.#eachShard((shardAt) => {
      for (let slotAt = this.#data.oldest(shardAt); slotAt !== 0; slotAt = this.#data.newer(shardAt, slotAt))
        keys.push(this.#blocks.keyOf(shardAt, slotAt));
    });
    return keys;
  }

  /** Forgets everything. */
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

  /**
   * Changes how many entries are allowed, up to the `capacity` it was made with, since memory is fixed.
   *
   * @returns how many entries the new bound pushed out
   * @throws RangeError for a bound below one entry a shard, or above what it was made with
   */
  resize(capacity: number): number {
    const { shards, entriesMax } = this.#layout;
    if (!Number.isSafeInteger(capacity) || capacity < shards || capacity > entriesMax)
      throw new RangeError(
        `capacity must be a whole number from ${shards} (one entry a shard) to ${entriesMax} (as it was made), is ${capacity}`,
      );
    Atomics.store(this.#words, Head.CAPACITY, capacity);
    const gone: Gone[] = [];
    let count = 0;
    this.#eachShard((shardAt) => {
      while (this.#words[shardAt + Control.COUNT]! > entriesMaxOf(this.#layout, shardAt, this.capacity)) {
        this.#data.evictOldest(shardAt, this.#onEvict && gone);
        count++;
      }
    });
    tellOf(gone, this.#onEvict);
    return count;
  }

  /**
   * The thread has ended, however: the shards whose lock it held are emptied and free again. Call it on the `exit` of every worker that
   * attached. Safe to repeat, from any thread that lives.
   *
   * @returns how many shards were emptied
   */
  threadExited(exitedThreadId: number): number {
    let emptied = 0;
    for (const seat of seatsOf(this.#words, exitedThreadId)) {
      for (let shard = 0; shard < this.#layout.shards; shard++) {
        const shardAt = this.#layout.shardAt + shard * this.#layout.shardWords;
        if (this.#gate.inherit(shardAt, seat)) emptied++;
      }
      leaveSeat(this.#words, seat);
    }
    return emptied;
  }

  #look(key: string, touching: boolean): Buffer | undefined {
    const hash = hashOf(key, this.#layout.hashSeed);
    const shardAt = shardAtOf(this.#layout, hash);
    if (!this.#gate.enter(shardAt)) return undefined;
    const slotAt = this.#data.find(shardAt, hash, key);
    let value: Buffer | undefined;
    if (slotAt === 0) this.#words[shardAt + Control.MISSES]!++;
    else {
      this.#words[shardAt + Control.HITS]!++;
      if (touching) this.#data.touch(shardAt, slotAt);
      value = this.#blocks.valueOf(shardAt, slotAt);
    }
    this.#gate.leave(shardAt);
    return value;
  }

  /** `revision` below 0: whatever the watermark. */
  #put(key: string, value: Uint8Array, revision: number): boolean {
    const hash = hashOf(key, this.#layout.hashSeed);
    const shardAt = shardAtOf(this.#layout, hash);
    if (!this.#gate.enter(shardAt)) {
      this.#gate.doom(shardAt);
      return false;
    }
    if (revision >= 0 && revision < this.#data.watermark(shardAt, hash)) {
      this.#gate.leave(shardAt);
      return false;
    }
    const gone: Gone[] | undefined = this.#onEvict && [];
    const evicted = this.#data.store(shardAt, hash, key, value, entriesMaxOf(this.#layout, shardAt, this.capacity), gone);
    this.#gate.leave(shardAt);
    if (gone) tellOf(gone, this.#onEvict);
    return evicted;
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

  #sum(word: number): number {
    let sum = 0;
    for (let shard = 0; shard < this.#layout.shards; shard++)
      sum += Atomics.load(this.#words, this.#layout.shardAt + shard * this.#layout.shardWords + word);
    return sum;
  }
}
