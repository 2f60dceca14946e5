import type { Blocks } from './blocks.js';
import type { Gate } from './gate.js';
import type { Layout } from './layout.js';
import { entriesMaxOf, Head, shardsOf } from './layout.js';
import type { Gone, Shards } from './shards.js';

/**
 * What is done to all shards, one after the other. What changes much does it in pieces, between which others have their turn; those who wait for a lock wait for a
 * piece at most. A shard whose lock was not to be had in time is emptied by the next who gets it.
 */
export class AllShards {
  readonly #layout: Layout;
  readonly #words: Int32Array;
  readonly #gate: Gate;
  readonly #data: Shards;
  readonly #blocks: Blocks;

  constructor(layout: Layout, memory: SharedArrayBuffer, gate: Gate, data: Shards, blocks: Blocks) {
    this.#layout = layout;
    this.#words = new Int32Array(memory);
    this.#gate = gate;
    this.#data = data;
    this.#blocks = blocks;
  }

  /** Not in pieces, between which the order would change. */
  keys(nowMs: number): string[] {
    const data = this.#data;
    const keys: string[] = [];
    for (const shardAt of shardsOf(this.#layout))
      this.#gate.look(shardAt, () => {
        for (let slotAt = data.oldest(shardAt); slotAt !== 0; slotAt = data.newer(shardAt, slotAt))
          if (data.isShown(shardAt, slotAt, nowMs)) keys.push(this.#blocks.keyOf(shardAt, slotAt));
        return true;
      });
    return keys;
  }

  purge(gone: Gone[] | undefined): void {
    const data = this.#data;
    this.#inPieces((shardAt, entriesMax) => {
      // Without a copy of each it takes no longer than for one.
      if (!gone) data.empty(shardAt);
      for (let i = 0; i < entriesMax && data.oldest(shardAt) !== 0; i++) data.drop(shardAt, data.oldest(shardAt), 'purged', gone);
      return data.oldest(shardAt) === 0;
    });
  }

  /** Evicts what the bounds, as they are now, have no room for. @returns how many that were */
  shrink(gone: Gone[] | undefined): number {
    let count = 0;
    this.#inPieces((shardAt, entriesMax) => {
      const bounds = {
        entriesMax: entriesMaxOf(this.#layout, shardAt, Atomics.load(this.#words, Head.CAPACITY)),
        blocksMax: this.#data.blocksMax(),
      };
      const isWithin = () => this.#data.fits(shardAt, bounds, 0, 0);
      for (let i = 0; i < entriesMax && !isWithin(); i++, count++) this.#data.evictOldest(shardAt, gone);
      return isWithin();
    });
    return count;
  }

  /** Empties those whose lock the thread in `seat`, which has ended, held. @returns how many that were */
  inherit(seat: number, revision: number): number {
    return shardsOf(this.#layout).filter((shardAt) => this.#gate.inherit(shardAt, seat, revision)).length;
  }

  /**
   * @param change says whether it has done all. Others who add meanwhile do not keep it from ending: after as many pieces as the shard is large, the rest is one
   * @throws Error when this thread has disposed of the cache
   */
  #inPieces(change: (shardAt: number, entriesMax: number) => boolean): void {
    for (const shardAt of shardsOf(this.#layout)) {
      let done: boolean | undefined = false;
      for (let left = this.#layout.entriesPerShard; done === false; left -= PIECE_ENTRIES) {
        const entriesMax = left > 0 ? PIECE_ENTRIES : Infinity;
        done = this.#gate.change(shardAt, () => change(shardAt, entriesMax));
      }
      if (done === undefined) this.#gate.doom(shardAt);
    }
  }
}

const PIECE_ENTRIES = 256;
