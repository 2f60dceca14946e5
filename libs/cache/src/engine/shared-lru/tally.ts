import type { Layout } from './layout.js';
import { Control, shardsOf } from './layout.js';
import type { SharedLruCacheCounts } from './options.js';

/** Sums over the shards, read without their locks: each shard as it is when its turn comes. */
export class Tally {
  readonly #layout: Layout;
  readonly #words: Int32Array;

  constructor(layout: Layout, memory: SharedArrayBuffer) {
    this.#layout = layout;
    this.#words = new Int32Array(memory);
  }

  get entries(): number {
    return this.#sum(Control.COUNT);
  }

  get bytes(): number {
    return this.#sum(Control.BLOCKS_USED) * this.#layout.blockBytes;
  }

  get counts(): SharedLruCacheCounts {
    return {
      hits: this.#sum(Control.HITS) >>> 0,
      misses: this.#sum(Control.MISSES) >>> 0,
      evictions: this.#sum(Control.EVICTIONS) >>> 0,
      timedOut: this.#sum(Control.TIMED_OUT) >>> 0,
      emptied: this.#sum(Control.EMPTIED) >>> 0,
    };
  }

  #sum(word: number): number {
    return shardsOf(this.#layout).reduce((sum, shardAt) => sum + Atomics.load(this.#words, shardAt + word), 0);
  }
}
