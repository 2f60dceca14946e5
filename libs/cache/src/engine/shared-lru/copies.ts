import { Buffer } from 'node:buffer';
import { markAsUntransferable } from 'node:worker_threads';
import type { Blocks } from './blocks.js';
import type { Gate } from './gate.js';
import type { KeyBytes } from './key-bytes.js';
import { ABSENCE, Control } from './layout.js';
import type { Gone, Shards } from './shards.js';

/**
 * Copies of values that are looked up. Memory for one is taken before the lock of its shard is, since that can fail, and can wait for the garbage collector.
 * Small ones share a pool, as those of `Buffer.allocUnsafe` do.
 */
export class Copies {
  readonly #words: Int32Array;
  readonly #gate: Gate;
  readonly #data: Shards;
  readonly #blocks: Blocks;
  #pool: Buffer = Buffer.allocUnsafeSlow(0);
  #at = 0;

  constructor(memory: SharedArrayBuffer, gate: Gate, data: Shards, blocks: Blocks) {
    this.#words = new Int32Array(memory);
    this.#gate = gate;
    this.#data = data;
    this.#blocks = blocks;
  }

  /**
   * @param isUse whether it counts, makes the entry the most recently used, and lets go of one that has expired
   * @returns null: a remembered absence; undefined: not shown, or the lock was not to be had in time
   * @throws RangeError when there is no memory; then nothing has changed
   */
  of(shardAt: number, key: KeyBytes, nowMs: number, isUse: boolean, gone: Gone[] | undefined): Buffer | null | undefined {
    for (let bytes = USUAL_BYTES; ;) {
      const room = this.#reserve(bytes);
      if (!this.#gate.enter(shardAt)) return undefined;
      try {
        bytes = this.#read(shardAt, key, nowMs, isUse, room, gone);
      } catch (error) {
        throw this.#gate.leaveBroken(shardAt, error);
      }
      this.#gate.leave(shardAt);
      if (bytes < 0) return bytes === ABSENCE ? null : undefined;
      // It may be a larger one by the time there is room for it; then once more.
      if (bytes <= room) return this.#take(bytes);
    }
  }

  #read(shardAt: number, key: KeyBytes, nowMs: number, isUse: boolean, room: number, gone: Gone[] | undefined): number {
    const words = this.#words;
    const data = this.#data;
    const slotAt = data.find(shardAt, key);
    if (!data.isShown(shardAt, slotAt, nowMs)) {
      if (isUse) words[shardAt + Control.MISSES]!++;
      if (isUse && slotAt !== 0) data.drop(shardAt, slotAt, 'expired', gone);
      return NOT_SHOWN;
    }
    const bytes = data.valueBytes(slotAt);
    if (bytes > room) return bytes;
    if (bytes !== ABSENCE) this.#blocks.readValue(shardAt, slotAt, this.#pool, this.#at);
    if (isUse) words[shardAt + Control.HITS]!++;
    if (isUse) data.touch(shardAt, slotAt);
    return bytes;
  }

  /** @returns how much room there is, which is enough */
  #reserve(bytes: number): number {
    if (this.#pool.byteLength - this.#at < bytes) {
      this.#pool = Buffer.allocUnsafeSlow(Math.max(bytes, POOL_BYTES));
      this.#at = 0;
      // Nobody may send away what others have a part of.
      markAsUntransferable(this.#pool.buffer);
    }
    return this.#pool.byteLength - this.#at;
  }

  #take(bytes: number): Buffer {
    const copy = this.#pool.subarray(this.#at, this.#at + bytes);
    this.#at = Math.min(this.#pool.byteLength, (this.#at + bytes + 7) & ~7);
    return copy;
  }
}

/** A value of at most so many is looked up once; of a larger one the length is, and then itself. */
const USUAL_BYTES = 512;
const POOL_BYTES = 8_192;
const NOT_SHOWN = -2;
