import { Control } from './layout.js';
import type { ShardLock } from './shard-lock.js';
import type { Shards } from './shards.js';

/**
 * The way into a shard: its lock, and what has to be done before anybody looks at what is inside.
 *
 * Who has entered reads, and may begin a change and end it. Should anything throw, the lock is let go of all the same: a shard that was only read is as it was;
 * of one that was being changed nobody knows how far that came, so it is emptied.
 */
export class Gate {
  readonly #words: Int32Array;
  readonly #bigints: BigInt64Array;
  readonly #lock: ShardLock;
  readonly #shards: Shards;
  /** The shard that this thread is in; or `OUTSIDE`, or `CLOSED`. */
  #shardAt: number = OUTSIDE;
  /** Whether it is in the middle of a change. */
  #isChanging = false;

  constructor(memory: SharedArrayBuffer, lock: ShardLock, shards: Shards) {
    this.#words = new Int32Array(memory);
    this.#bigints = new BigInt64Array(memory);
    this.#lock = lock;
    this.#shards = shards;
  }

  /**
   * Does `act`, which only reads, under the lock of the shard. Nothing of it may wait, nor call anybody who could use the cache again.
   *
   * @returns what it returns; undefined: the lock was not to be had in time
   */
  look<Result extends NonNullable<unknown>>(shardAt: number, act: () => Result): Result | undefined {
    if (!this.enter(shardAt)) return undefined;
    try {
      return act();
    } finally {
      this.leave(shardAt);
    }
  }

  /** The same for what is one change as a whole: should it throw, the shard is emptied. */
  change<Result extends NonNullable<unknown>>(shardAt: number, act: () => Result): Result | undefined {
    if (!this.enter(shardAt)) return undefined;
    try {
      this.beginChange();
      const result = act();
      this.endChange();
      return result;
    } finally {
      this.leave(shardAt);
    }
  }

  /**
   * The same in its parts, for look-ups and additions: a closure takes 40 ns, a tenth of either. Who has entered must `leave`, whatever happens.
   *
   * @returns false when the lock was not to be had in time
   */
  enter(shardAt: number): boolean {
    // Even the end of a call can be cut short, by a stack that is full. Then the lock is let go of here, by the next call of the same thread.
    if (this.#shardAt !== OUTSIDE && !this.#leaveAbandoned()) return false;
    if (!this.#lock.take(shardAt)) {
      Atomics.add(this.#words, shardAt + Control.TIMED_OUT, 1);
      return false;
    }
    this.#shardAt = shardAt;
    if (this.#words[shardAt + Control.DOOM]! | this.#words[shardAt + Control.DOOM + 1]!) this.#obeyDoom(shardAt);
    return true;
  }

  /** From here on the shard is not as it should be, until `endChange`. */
  beginChange(): void {
    this.#isChanging = true;
  }

  endChange(): void {
    this.#isChanging = false;
  }

  leave(shardAt: number): void {
    if (this.#isChanging) {
      this.doom(shardAt);
      this.#isChanging = false;
      this.#obeyDoom(shardAt);
    }
    this.#letGo(shardAt);
  }

  #letGo(shardAt: number): void {
    this.#lock.release(shardAt);
    this.#shardAt = OUTSIDE;
  }

  /** @returns false when this thread has closed the gate behind it */
  #leaveAbandoned(): boolean {
    const shardAt = this.#shardAt;
    if (shardAt === CLOSED) return false;
    if (this.#lock.isHeld(shardAt)) this.leave(shardAt);
    this.#shardAt = OUTSIDE;
    return true;
  }

  /** From now on this thread gets no lock here: its seat may be another's. @returns false when it was closed already */
  close(): boolean {
    if (this.#shardAt !== OUTSIDE && !this.#leaveAbandoned()) return false;
    this.#shardAt = CLOSED;
    return true;
  }

  get isClosed(): boolean {
    return this.#shardAt === CLOSED;
  }

  /** @throws Error when this thread has closed it, and may change nothing any more */
  assertOpen(): void {
    if (this.isClosed) throw new Error('this thread has disposed of the cache, and changes nothing in it any more');
  }

  /** What could not be changed must not be seen again, nor be filled with what is older than `revision`. @throws as `assertOpen` */
  doom(shardAt: number, revision = 0): void {
    this.assertOpen();
    const at = (shardAt + Control.DOOM) / 2;
    const doom = BigInt(revision) + 1n;
    for (let old = 0n; old < doom;) {
      const now = Atomics.compareExchange(this.#bigints, at, old, doom);
      if (now === old) return;
      old = now;
    }
  }

  /**
   * Empties the shard that this thread is in. The doom is taken off last: should this thread die before, the next one has it all to do again; and also should
   * this throw, after which the shard is let go of.
   */
  #obeyDoom(shardAt: number): void {
    const at = (shardAt + Control.DOOM) / 2;
    try {
      let doom = Atomics.load(this.#bigints, at);
      this.#shards.empty(shardAt);
      for (;;) {
        if (doom > 1n) this.#shards.raiseAllWatermarks(shardAt, Number(doom) - 1);
        const now = Atomics.compareExchange(this.#bigints, at, doom, 0n);
        if (now === doom) break;
        doom = now;
      }
      this.#words[shardAt + Control.EMPTIED]!++;
    } catch (error) {
      this.#letGo(shardAt);
      throw error;
    }
  }

  /** Empties the shard if the thread in `seat`, which has ended, held its lock, and raises its watermarks to `revision`. @returns whether it did */
  inherit(shardAt: number, seat: number, revision: number): boolean {
    if (this.#shardAt !== OUTSIDE && !this.#leaveAbandoned()) return false;
    if (!this.#lock.isHeld(shardAt, seat)) return false;
    // Doomed before it is taken over: whatever happens then, nobody sees what the dead one was changing.
    this.doom(shardAt, revision);
    if (!this.#lock.inherit(shardAt, seat)) return false;
    this.#shardAt = shardAt;
    this.#obeyDoom(shardAt);
    this.#letGo(shardAt);
    return true;
  }
}

const OUTSIDE = 0;
const CLOSED = -1;
