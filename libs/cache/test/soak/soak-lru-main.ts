import { seededRandom } from '@diptych/testing';
import { LruCache } from '../../src/engine/lru-cache.js';
import { BYTES_MAX, CAPACITY, KEYS, RssLooks } from './soak-state.js';
import type { SoakReport, SoakTask } from './soak-state.js';

/*
 * A soak of `LruCache` in a process of its own: `soak-lru-main <task as JSON>`. Beside it is kept what must be in it by what it was given and what it has
 * reported to have let go of. Prints its report as one line of JSON.
 */
const { seed, operations } = JSON.parse(process.argv[2]!) as SoakTask;
const random = seededRandom(seed);
const below = (count: number) => Math.floor(random() * count);
let nowMs = 0;
const expected = new Map<number, Buffer>();
const cache = new LruCache<number, Buffer>({
  capacity: CAPACITY,
  bytesMax: BYTES_MAX,
  sizeOf: weightOf,
  clock: { nowMs: () => nowMs },
  onEvict: (key, value) => {
    if (expected.get(key) !== value) torn++;
    expected.delete(key);
  },
});
const rss = new RssLooks(operations);
const problems: string[] = [];
let [torn, checked, looks, overBound] = [0, 0, 0, 0];

const beganMs = performance.now();
for (let done = 0; done < operations; done++) {
  step();
  // Small for a while, again and again, and not for long: else there would be little to look at.
  if (done % 5_000 === 2_500) cache.resize(1 + below(CAPACITY), 1 + below(BYTES_MAX));
  if (done % 5_000 === 3_000) cache.resize(CAPACITY, BYTES_MAX);
  if (cache.length > cache.capacity || cache.bytes > cache.bytesMax || cache.bytesMax > BYTES_MAX) overBound++;
  if (done % 10_000 === 0) inspect();
  rss.look(done);
}
inspect();
const report: SoakReport = {
  operations,
  checked,
  torn,
  stale: 0,
  looks,
  overBound,
  kills: 0,
  killsInside: 0,
  problems,
  counts: { evictions: cache.evictions },
  rssMb: rss.mb,
  seconds: Math.round(performance.now() - beganMs) / 1_000,
};
console.log(JSON.stringify(report));

function step(): void {
  const key = below(KEYS);
  const dice = random();
  if (dice < 0.55) check(key, cache.get(key));
  else if (dice < 0.85) {
    // Mostly small ones, now and then one that is larger than the whole.
    const value = Buffer.alloc(random() < 0.001 ? BYTES_MAX + 1 : 1 + Math.floor(random() ** 4 * 4_096));
    expected.set(key, value);
    cache.add(key, value, random() < 0.1 ? 5 : undefined);
  } else if (dice < 0.9) {
    const was = expected.has(key);
    if (cache.remove(key) && !was) torn++;
  } else if (dice < 0.95) check(key, cache.peek(key));
  else if (dice < 0.99995) nowMs += below(2);
  else cache.purge();
}

function check(key: number, value: Buffer | undefined): void {
  if (value === undefined) return;
  checked++;
  if (expected.get(key) !== value) torn++;
}

/** All that must be there is, and weighs what it should. */
function inspect(): void {
  looks++;
  let bytes = 0;
  for (const [key, value] of expected) bytes += weightOf(value, key);
  if (expected.size !== cache.length || bytes !== cache.bytes)
    problems.push(`${cache.length} entries of ${cache.bytes} bytes, and should be ${expected.size} of ${bytes}`);
}

function weightOf(value: Buffer, _key: number): number {
  return value.byteLength;
}
