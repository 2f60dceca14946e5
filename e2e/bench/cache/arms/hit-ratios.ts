import { LruCache, SharedLruCache } from '@diptych/cache/engine';
import { seededRandom } from '@diptych/testing';
import type { Figures } from '../../messaging/bench-run.js';
import { BLOCK_BYTES, keysOf, zipfOf } from './load.js';

const CAPACITY = 10_000;
const LOOK_UPS = 1_000_000;
const HOT_KEYS = 1_000;

export type Pattern = 'zipf' | 'scan' | 'hot';

/** Looks keys up and adds what is missing; the first half of the look-ups is not counted. */
export function hitRatios({ pattern, seed }: { pattern: Pattern; seed: number }): Record<string, Figures> {
  const keys = keysOf(pattern === 'zipf' ? 10 * CAPACITY : 2 * CAPACITY);
  const numbers = Uint32Array.from({ length: LOOK_UPS }, numbersOf(pattern, seed, keys.length));
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
  const figures = {
    own: hitsOf((key) => own.get(key) !== undefined || (own.add(key, 1), false)),
    ideal: hitsOf((key) => ideal.look(key)),
    shared: hitsOf((key) => shared.get(key) !== undefined || (shared.add(key, value), false)),
    idealSharded: hitsOf((key) => shards[shared.shardOf(key)]!.look(key)),
  };
  // To hit nothing is what the loop makes of every LRU, and no merit of one that holds nothing.
  for (const { length } of [own, shared]) if (length !== CAPACITY) throw new Error(`${length} entries are held, not ${CAPACITY}`);
  return figures;
}

function numbersOf(pattern: Pattern, seed: number, keys: number): (_: unknown, i: number) => number {
  if (pattern === 'zipf') return zipfOf(seed, keys);
  if (pattern === 'scan') return (_, i) => i % keys;
  const random = seededRandom(seed);
  // The loop takes every other look-up, and leaves out the keys that the others choose from.
  return (_, i) => (i % 2 === 0 ? Math.floor(random() * HOT_KEYS) : HOT_KEYS + (((i - 1) / 2) % (keys - HOT_KEYS)));
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
