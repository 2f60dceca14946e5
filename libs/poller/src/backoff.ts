/**
 * How long to wait before the next request: `intervalMs` while up; while down, twice as long each time up to `backoffMaxMs`, of
 * which a random half is left out, so that those who failed together do not come back together ("equal jitter", AWS Architecture
 * Blog, 2015). Never less than `intervalMs`: what is down is not polled more often than what is up.
 *
 * @param failures in a row, 0 while up
 * @param random from 0 to 1
 */
export function waitMs(failures: number, bounds: { intervalMs: number; backoffMaxMs: number }, random: () => number): number {
  if (failures === 0) return bounds.intervalMs;
  const ceilingMs = Math.min(bounds.backoffMaxMs, bounds.intervalMs * 2 ** failures);
  return Math.max(bounds.intervalMs, ceilingMs * (0.5 + 0.5 * random()));
}

/**
 * Random numbers from 0 to 1 that are the same for the same seed and name, in whatever order the names take turns. The
 * generator is mulberry32 (Tommy Ettinger, public domain); the name is mixed in by FNV-1a.
 */
export function seededRandom(seed: number, name: string): () => number {
  let state = seed | 0;
  for (let index = 0; index < name.length; index++) state = Math.imul(state ^ name.charCodeAt(index), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
