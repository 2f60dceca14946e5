import { randomInt } from 'node:crypto';

let seed: number | undefined;

/**
 * The seed of this process's random tests: `DIPTYCH_SEED`, else a random one. A random one is printed, so that a failed run can be
 * repeated with `DIPTYCH_SEED=<seed>`.
 *
 * @throws RangeError when `DIPTYCH_SEED` is not a whole number from 0 to 2^31 - 1
 */
export function seedFromEnv(): number {
  if (seed !== undefined) return seed;
  const text = process.env['DIPTYCH_SEED'];
  const value = text === undefined || text === '' ? randomInt(SEED_MAX) : Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || value >= SEED_MAX)
    throw new RangeError(`DIPTYCH_SEED must be a whole number from 0 to ${SEED_MAX - 1}, is ${text}`);
  seed = value;
  // A run prints the seed it hands to its workers itself.
  if (text !== String(seed)) console.info(`seed ${seed} (repeat with DIPTYCH_SEED=${seed})`);
  return seed;
}

/** Numbers from 0 to below 1, the same for the same seed. Mulberry32 by Tommy Ettinger: plenty for choosing moments and keys. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SEED_MAX = 2 ** 31;
