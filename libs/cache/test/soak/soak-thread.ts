import { workerData } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { seededRandom } from '@diptych/testing';
import { SharedLruCache } from '../../src/engine/shared-lru/shared-lru-cache.js';
import { Found, KEYS, STEP, VALUE_BYTES_MAX } from './soak-state.js';
import type { SoakThread } from './soak-state.js';

/*
 * One thread of the soak: operations of every kind on random keys with values of random sizes, until all threads together have done so many. Every
 * value says whose it is and of which revision, and carries a checksum over all of that. It may be terminated at any moment.
 *
 * Keys of even number are free for all: added and removed. Those of odd number are used as a coherent cache does: filled with a revision, and
 * invalidated; after an invalidation nobody may see what is older.
 */
const { memory, found, invalidated, seed, operations, watching } = workerData as SoakThread;
const random = seededRandom(seed);
const below = (count: number) => Math.floor(random() * count);
const cache = SharedLruCache.attach(memory, {
  ...(watching && { onEvict: (key: string, value: Uint8Array | null) => check(numberOf(key), value) }),
});
/** Checksum, key, revision; four random bytes are at the end. */
const HEADER_BYTES = 12;
const noise = Buffer.from(Uint8Array.from({ length: VALUE_BYTES_MAX }, () => below(256)));
const scratch = Buffer.alloc(HEADER_BYTES + VALUE_BYTES_MAX);

while (Atomics.load(found, Found.OPERATIONS) < operations) {
  for (let i = 0; i < STEP; i++) (below(2) === 0 ? useFree : useCoherent)();
  Atomics.add(found, Found.OPERATIONS, STEP);
}

function useFree(): void {
  const number = 2 * below(KEYS / 2);
  const key = keyOf(number);
  const dice = random();
  if (dice < 0.6) check(number, cache.get(key));
  else if (dice < 0.85) cache.add(key, valueOf(number, 0), random() < 0.1 ? 5 : undefined);
  else if (dice < 0.9) cache.remove(key);
  else if (dice < 0.93) cache.add(key, null);
  else if (dice < 0.96) check(number, cache.peek(key));
  else if (dice < 0.9999) cache.contains(key);
  else if (dice < 0.99995) for (const each of cache.keys()) numberOf(each);
  else cache.purge();
}

function useCoherent(): void {
  const number = 2 * below(KEYS / 2) + 1;
  const key = keyOf(number);
  const dice = random();
  if (dice < 0.6) {
    const floor = Atomics.load(invalidated, number);
    const value = cache.get(key);
    check(number, value);
    if (value && value.readInt32LE(8) < floor) Atomics.add(found, Found.STALE, 1);
  } else if (dice < 0.9) {
    // What is read from the source of truth may be late.
    const revision = Math.max(0, Atomics.load(found, Found.REVISION) - below(4));
    cache.fill(key, valueOf(number, revision), revision);
  } else {
    const revision = Atomics.add(found, Found.REVISION, 1) + 1;
    cache.invalidate(key, revision);
    for (let old = Atomics.load(invalidated, number); old < revision;) {
      const now = Atomics.compareExchange(invalidated, number, old, revision);
      if (now === old) break;
      old = now;
    }
  }
}

/** Mostly small ones, now and then one that no shard can hold. */
function valueOf(number: number, revision: number): Buffer {
  const bytes = random() < 0.001 ? VALUE_BYTES_MAX : 4 + Math.floor(random() ** 4 * 4_096);
  const value = scratch.subarray(0, HEADER_BYTES + bytes);
  value.writeInt32LE(number, 4);
  value.writeInt32LE(revision, 8);
  noise.copy(value, HEADER_BYTES, 0, bytes);
  value.writeInt32LE(below(2 ** 31), value.byteLength - 4);
  value.writeUInt32LE(crc32(value.subarray(4)), 0);
  return value;
}

function check(number: number, value: Uint8Array | null | undefined): void {
  if (!value) return;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (bytes.readInt32LE(4) !== number || bytes.readUInt32LE(0) !== crc32(bytes.subarray(4))) Atomics.add(found, Found.TORN, 1);
  Atomics.add(found, Found.CHECKED, 1);
}

/** Short and long ones, and some that are not ASCII. */
function keyOf(number: number): string {
  return `${number}:${(number % 7 === 0 ? 'ключ' : 'key').repeat(number % 23)}`;
}

function numberOf(key: string): number {
  const number = parseInt(key, 10);
  if (key !== keyOf(number)) Atomics.add(found, Found.TORN, 1);
  return number;
}
