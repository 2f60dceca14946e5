import { Control } from './layout.js';
import type { ShardLock } from './shard-lock.js';
import type { Shards } from './shards.js';

/** The way into a shard: its lock, and what has to be done before anybody looks at what is inside. */
export class Gate {
  readonly #words: Int32Array;
  readonly #bigints: BigInt64Array;
  readonly #lock: ShardLock;
  readonly #shards: Shards;

  constructor(memory: SharedArrayBuffer, lock: ShardLock, shards: Shards) {
    this.#words = new Int32Array(memory);
    this.#bigints = new BigInt64Array(memory);
    this.#lock = lock;
    this.#shards = shards;
  }

  /** @returns false when the lock was not to be had in time */
  enter(shardAt: number): boolean {
    if (!this.#lock.take(shardAt)) {
      Atomics.add(this.#words, shardAt + Control.TIMED_OUT, 1);
      return false;
    }
    if (this.#words[shardAt + Control.DOOM]! | this.#words[shardAt + Control.DOOM + 1]!) this.#emptyOut(shardAt);
    return true;
  }

  /** What could not be changed must not be seen again, nor be filled with what is older than `revision`. */
  doom(shardAt: number, revision = 0): void {
    const at = (shardAt + Control.DOOM) / 2;
    const doom = BigInt(revision) + 1n;
    for (let old = 0n; old < doom;) {
      const now = Atomics.compareExchange(this.#bigints, at, old, doom);
      if (now === old) return;
      old = now;
    }
  }

  #emptyOut(shardAt: number): void {
    const at = (shardAt + Control.DOOM) / 2;
    let doom = Atomics.load(this.#bigints, at);
    this.#shards.empty(shardAt);
    // The doom is taken off last: should this thread die before, the next one has it all to do again.
    for (;;) {
      if (doom > 1n) this.#shards.raiseAllWatermarks(shardAt, Number(doom) - 1);
      const now = Atomics.compareExchange(this.#bigints, at, doom, 0n);
      if (now === doom) break;
      doom = now;
    }
    this.#words[shardAt + Control.EMPTIED]!++;
  }

  leave(shardAt: number): void {
    this.#lock.release(shardAt);
  }

  /** Empties the shard if the thread in `seat`, which has ended, held its lock, and raises its watermarks to `revision`. @returns whether it did */
  inherit(shardAt: number, seat: number, revision: number): boolean {
    if (!this.#lock.inherit(shardAt, seat)) return false;
    this.#emptyOut(shardAt);
    this.#shards.raiseAllWatermarks(shardAt, revision);
    this.#lock.release(shardAt);
    return true;
  }
}
