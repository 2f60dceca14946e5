import { Buffer } from 'node:buffer';
import { markAsUntransferable } from 'node:worker_threads';
import type { Blocks } from './blocks.js';
import type { Gate } from './gate.js';
import type { KeyBytes } from './key-bytes.js';
import { ABSENCE, Control } from './layout.js';
import type { Gone, Shards } from './shards.js';

/**
 * Copies of values that are looked up. Memory for one is taken before the lock of its shard is, since that can fail, and can wait for the garbage collector.
 * Small ones share a pool, as those of `Buffer.allocUnsafe` do, and like them cannot be sent away; a large one has memory of its own, as much as it needs.
 */
export class Copies {
  readonly #words: Int32Array;
  readonly #gate: Gate;
  readonly #data: Shards;
  readonly #blocks: Blocks;
  #pool: Buffer = Buffer.allocUnsafeSlow(0);
  #poolAt = 0;

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
    const data = this.#data;
    for (let bytes = USUAL_BYTES; ;) {
      const isLarge = bytes > POOLED_BYTES_MAX;
      const target = isLarge ? Buffer.allocUnsafeSlow(bytes) : this.#poolFor(bytes);
      const at = isLarge ? 0 : this.#poolAt;
      const room = isLarge ? bytes : Math.min(target.byteLength - at, POOLED_BYTES_MAX);
      if (!this.#gate.enter(shardAt)) return undefined;
      try {
        const slotAt = data.find(shardAt, key);
        if (!data.isShown(shardAt, slotAt, nowMs)) {
          if (isUse) this.#miss(shardAt, slotAt, gone);
          return undefined;
        }
        bytes = data.valueBytes(slotAt);
        if (bytes <= room) {
          if (bytes !== ABSENCE) this.#blocks.readValue(shardAt, slotAt, target, at);
          if (isUse) this.#hit(shardAt, slotAt);
        }
      } finally {
        this.#gate.leave(shardAt);
      }
      if (bytes === ABSENCE) return null;
      // It may be a larger one by the time there is room for it; then once more.
      if (bytes > room) continue;
      if (!isLarge) this.#poolAt = Math.min(target.byteLength, (at + bytes + 7) & ~7);
      return target.subarray(at, at + bytes);
    }
  }

  #hit(shardAt: number, slotAt: number): void {
    this.#gate.beginChange();
    this.#data.touch(shardAt, slotAt);
    this.#gate.endChange();
    this.#words[shardAt + Control.HITS]!++;
  }

  /** What has expired leaves. There is a copy of it before anything is changed. */
  #miss(shardAt: number, slotAt: number, gone: Gone[] | undefined): void {
    if (slotAt !== 0) {
      gone?.push(this.#data.copyOf(shardAt, slotAt, 'expired'));
      this.#gate.beginChange();
      this.#data.remove(shardAt, slotAt);
      this.#gate.endChange();
    }
    this.#words[shardAt + Control.MISSES]!++;
  }

  /** @returns the pool, with room for so many bytes */
  #poolFor(bytes: number): Buffer {
    if (this.#pool.byteLength - this.#poolAt < bytes) {
      this.#pool = Buffer.allocUnsafeSlow(POOL_BYTES);
      this.#poolAt = 0;
      // Nobody may send away what others have a part of.
      markAsUntransferable(this.#pool.buffer);
    }
    return this.#pool;
  }
}

/** A value of at most so many is looked up once; of a larger one the length may be, and then itself. */
const USUAL_BYTES = 512;
const POOL_BYTES = 8_192;
/** More would waste what is left of a pool. */
const POOLED_BYTES_MAX = POOL_BYTES / 2;
