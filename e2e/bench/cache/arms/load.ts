import { seededRandom } from '@diptych/testing';

export const ENTRIES = 100_000;
export const VALUE_BYTES = 256;
/** What `SharedLruCache` takes for an entry of these loads: a block. */
export const BLOCK_BYTES = 320;

/** Of a `SharedLruCache` that is to hold so many. Shards are not all alike full: a third more, so that all keys fit. */
export function roomFor(entries: number): { readonly capacity: number; readonly bytesMax: number } {
  const capacity = Math.ceil((entries * 4) / 3);
  return { capacity, bytesMax: capacity * BLOCK_BYTES };
}

export const KEY_LENGTH = 24;

/** Of `KEY_LENGTH` characters. In one piece each, as what comes out of a message is. */
export function keysOf(count: number): string[] {
  return Array.from({ length: count }, (_, i) =>
    Buffer.from(`key:${(Math.imul(i, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')}:${String(i).padStart(11, '0')}`).toString('latin1'),
  );
}

export function valueOf(number: number, bytes = VALUE_BYTES): Buffer {
  const value = Buffer.alloc(bytes, number & 0xff);
  value.writeUInt32LE(number);
  return value;
}

/** What to do one after the other, again and again: which key, and whether to add it. Made beforehand. */
export interface Work {
  readonly numbers: Uint32Array;
  readonly adds: Uint8Array;
}

/** @param addShare of 0 to 1 */
export function workOf(seed: number, keys: number, addShare: number): Work {
  const random = seededRandom(seed);
  const numbers = Uint32Array.from({ length: WORK_LENGTH }, () => Math.floor(random() * keys));
  const adds = Uint8Array.from({ length: WORK_LENGTH }, () => (random() < addShare ? 1 : 0));
  return { numbers, adds };
}

/** Of numbers from 0, each as often as its rank to the power of -0.99 says. By inversion of the sums. */
export function zipfOf(seed: number, keys: number): () => number {
  const random = seededRandom(seed);
  const sums = new Float64Array(keys);
  let sum = 0;
  for (let rank = 1; rank <= keys; rank++) sums[rank - 1] = sum += rank ** -0.99;
  return () => {
    const target = random() * sum;
    let [low, high] = [0, keys - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < target) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** A power of two, so that going round takes a mask. */
export const WORK_LENGTH = 2 ** 20;
