import { seededRandom, seedFromEnv } from '@diptych/testing';

/** What of a list a run looks at: all; under CI one, by the run's seed. */
export function chosen<T>(list: readonly T[], salt: number): readonly T[] {
  if (process.env['CI'] !== 'true' || process.env['DIPTYCH_LONG'] === '1') return list;
  return [list[Math.floor(seededRandom(seedFromEnv() + salt)() * list.length)]!];
}
