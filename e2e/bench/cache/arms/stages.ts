import { SharedLruCache } from '@diptych/cache/engine';
import { seededRandom } from '@diptych/testing';
import { shuffled } from '../../arms.js';
import type { Figures } from '../../messaging/bench-run.js';
import { ENTRIES, keysOf, roomFor, valueOf, WORK_LENGTH, workOf } from './load.js';

/** Each does what those before it do, and one thing more; all keys are held. */
const STAGES: Readonly<Record<string, (cache: SharedLruCache, key: string) => boolean>> = {
  hash: (cache, key) => cache.shardOf(key) >= 0,
  lock: (cache, key) => cache.watermark(key) === 0,
  find: (cache, key) => cache.contains(key),
  copy: (cache, key) => cache.peek(key) !== undefined,
  get: (cache, key) => cache.get(key) !== undefined,
};

/** Where the time of a look-up goes, with as many entries as fit in the processor's own caches, and with more. By processor time, as `one-thread`. */
export function stages({ seed }: { seed: number }): Record<string, Figures> {
  const random = seededRandom(seed);
  const figures: Record<string, Record<string, number>> = Object.fromEntries(Object.keys(STAGES).map((stage) => [stage, {}]));
  for (const [entries, figure] of [
    [FEW_ENTRIES, 'fewNs'],
    [ENTRIES, 'manyNs'],
  ] as const) {
    const cache = SharedLruCache.create({ ...roomFor(entries + SPARE_ENTRIES), shards: 64 });
    const keys = keysOf(entries);
    for (const [i, key] of keys.entries()) cache.add(key, valueOf(i));
    const { numbers } = workOf(seed, entries, 0);
    for (const stage of shuffled(Object.keys(STAGES), random)) {
      const act = STAGES[stage]!;
      const run = (count: number) => {
        let done = 0;
        for (let i = 0; i < count; i++) if (act(cache, keys[numbers[i & (WORK_LENGTH - 1)]!]!)) done++;
        if (done !== count) throw new Error(`${stage} found ${done} of ${count}`);
      };
      run(OPERATIONS / 4);
      const before = process.cpuUsage();
      run(OPERATIONS);
      const { user, system } = process.cpuUsage(before);
      figures[stage]![figure] = ((user + system) / OPERATIONS) * 1e3;
    }
  }
  return figures;
}

const FEW_ENTRIES = 2_000;
/** So that few keys fit all the same, which are spread the less evenly. */
const SPARE_ENTRIES = 10_000;
const OPERATIONS = 2 ** 20;
