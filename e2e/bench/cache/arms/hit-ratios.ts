import { LruCache, SharedLruCache } from '@diptych/cache/engine';
import type { Figures } from '../../messaging/bench-run.js';
import { BLOCK_BYTES, keysOf, zipfOf } from './load.js';

const CAPACITY = 10_000;
const LOOK_UPS = 1_000_000;

/** Looks keys up and adds what is missing; the first half of the look-ups is not counted. */
export function hitRatios({ pattern, seed }: { pattern: 'zipf' | 'scan'; seed: number }): Record<string, Figures> {
  const keys = keysOf(pattern === 'zipf' ? 10 * CAPACITY : 2 * CAPACITY);
  const zipf = zipfOf(seed, keys.length);
  const numbers = Uint32Array.from({ length: LOOK_UPS }, (_, i) => (pattern === 'zipf' ? zipf() : i % keys.length));
  const own = new LruCache<string, number>({ capacity: CAPACITY });
  const shared = SharedLruCache.create({ capacity: CAPACITY, bytesMax: 2 * CAPACITY * BLOCK_BYTES });
  const value = Buffer.alloc(8);
  const ideal = new IdealLru(CAPACITY);
  // Capacity is dealt out to the shards, the first ones taking what is left over.
  const shards = Array.from({ length: 64 }, (_, i) => new IdealLru(Math.floor(CAPACITY / 64) + (i < CAPACITY % 64 ? 1 : 0)));
  const hitsOf = (look: (key: string) => boolean) => {
    let hits = 0;
    for (const [i, number] of numbers.entries()) if (look(keys[number]!) && i >= LOOK_UPS / 2) hits++;
    return { hitPercent: (hits / (LOOK_UPS / 2)) * 100 };
  };
  return {
    own: hitsOf((key) => own.get(key) !== undefined || (own.add(key, 1), false)),
    ideal: hitsOf((key) => ideal.look(key)),
    shared: hitsOf((key) => shared.get(key) !== undefined || (shared.add(key, value), false)),
    idealSharded: hitsOf((key) => shards[shared.shardOf(key)]!.look(key)),
  };
}

/** What least recently used means, said with the order of a Map. */
class IdealLru {
  readonly #held = new Map<string, true>();

  constructor(readonly capacity: number) {}

  /** Looks a key up, and holds it from then on. */
  look(key: string): boolean {
    const hit = this.#held.delete(key);
    this.#held.set(key, true);
    if (this.#held.size > this.capacity) this.#held.delete(this.#held.keys().next().value!);
    return hit;
  }
}
