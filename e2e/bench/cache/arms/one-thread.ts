import { createRequire } from 'node:module';
import { LruCache, SharedLruCache } from '@diptych/cache/engine';
import type { Figures } from '../../messaging/bench-run.js';
import { ENTRIES, KEY_LENGTH, keysOf, roomFor, VALUE_BYTES, valueOf, WORK_LENGTH, workOf } from './load.js';

type Lru = { readonly size: number; get(key: string): Buffer | undefined; set(key: string, value: Buffer): unknown };

/** The very package that `LruCache` is made of, as its own dependency. */
const { LRUCache } = createRequire(import.meta.resolve('@diptych/cache/engine'))('lru-cache') as {
  LRUCache: new (options: { max: number; maxSize: number; sizeCalculation: typeof sizeOf }) => Lru;
};

/** As in the services, where both bounds are set and the entries weighed. */
const sizeOf = (value: Buffer, key: string) => value.byteLength + key.length;
const BYTES_MAX = ENTRIES * (VALUE_BYTES + KEY_LENGTH);

interface Contender {
  get(key: string): Buffer | null | undefined;
  add(key: string, value: Buffer): void;
  length(): number;
}

const CONTENDERS: Readonly<Record<string, () => Contender>> = {
  lru: () => {
    const cache = new LRUCache({ max: ENTRIES, maxSize: BYTES_MAX, sizeCalculation: sizeOf });
    return { get: (key) => cache.get(key), add: (key, value) => void cache.set(key, value), length: () => cache.size };
  },
  own: () => {
    const cache = new LruCache<string, Buffer>({ capacity: ENTRIES, bytesMax: BYTES_MAX, sizeOf });
    return { get: (key) => cache.get(key), add: (key, value) => void cache.add(key, value), length: () => cache.length };
  },
  shared: () => sharedOf(64),
  shared1: () => sharedOf(1),
};

function sharedOf(shards: number): Contender {
  const cache = SharedLruCache.create({ ...roomFor(ENTRIES), shards });
  return { get: (key) => cache.get(key), add: (key, value) => void cache.add(key, value), length: () => cache.length };
}

/** Operations of one thread, by the processor time of the process: collecting garbage and compiling count, waiting for the processor does not. */
export function oneThread({ arm, work, seed }: { arm: string; work: 'get' | 'add' | 'mixed'; seed: number }): Record<string, Figures> {
  const contender = CONTENDERS[arm]!();
  const keys = keysOf(work === 'add' ? 2 * ENTRIES : ENTRIES);
  const values = keys.map((_, i) => valueOf(i));
  for (const [i, key] of keys.entries()) contender.add(key, values[i]!);
  const load = workOf(seed, keys.length, { get: 0, add: 1, mixed: 0.05 }[work]);
  const run = (count: number) => {
    let hits = 0;
    for (let i = 0; i < count; i++) {
      const at = i & (WORK_LENGTH - 1);
      const number = load.numbers[at]!;
      if (load.adds[at] === 1) contender.add(keys[number]!, values[number]!);
      else if (contender.get(keys[number]!)?.length === VALUE_BYTES) hits++;
    }
    return hits;
  };
  run(OPERATIONS / 4);
  const before = process.cpuUsage();
  const hits = run(OPERATIONS);
  const { user, system } = process.cpuUsage(before);
  check(contender, keys, values, work === 'add' ? 0 : hits / OPERATIONS);
  return { [arm]: { opsPerSecond: (OPERATIONS / (user + system)) * 1e6 } };
}

function check(contender: Contender, keys: readonly string[], values: readonly Buffer[], hitRatio: number): void {
  if (contender.length() !== ENTRIES) throw new Error(`it holds ${contender.length()} entries, not ${ENTRIES}`);
  if (hitRatio > 0 && hitRatio < 0.94) throw new Error(`${hitRatio} of the look-ups hit`);
  let held = 0;
  for (const [i, key] of keys.entries()) {
    const value = contender.get(key);
    if (value && !value.equals(values[i]!)) throw new Error(`${key} has another's value`);
    if (value) held++;
  }
  if (held !== ENTRIES) throw new Error(`it shows ${held} entries, not ${ENTRIES}`);
}

const OPERATIONS = 4_000_000;
