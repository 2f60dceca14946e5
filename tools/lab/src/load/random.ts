import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** A seeded source of numbers. The same seed gives the same numbers on every machine. */
export interface Random {
  /** Uniform in [0, 1). */
  unit(): number;
  /** Uniform whole number in [0, below). */
  below(below: number): number;
}

/** @param stream separates independent uses of one seed, so that adding a draw to one does not change another */
export function seededRandom(seed: number, stream: string): Random {
  let mixed = seed | 0;
  for (const char of stream) mixed = Math.imul(mixed ^ char.charCodeAt(0), 16777619);
  const generator = xoroshiro128plus(finalised(mixed));
  // The state is filled from the seed by one multiplication: its first outputs still show the seed's low bits.
  for (let i = 0; i < DISCARDED; i++) generator.next();
  return {
    unit: () => (generator.next() >>> 0) / 2 ** 32,
    below: (below) => uniformInt(generator, 0, below - 1),
  };
}

const DISCARDED = 16;

/** The finaliser of MurmurHash3 (Appleby, 2011): each bit of the seed changes each bit of the result with a chance of a half. */
function finalised(seed: number): number {
  let mixed = seed ^ (seed >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
