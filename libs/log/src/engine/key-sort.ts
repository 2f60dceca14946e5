/** What a slot's key is to the sort. */
export interface SortableKeys {
  readonly compare: (a: number, b: number) => number;
  /** Four bytes of the key from `depth` on, the first one weighing most; zeros behind its end. */
  readonly prefixWord: (slot: number, depth: number) => number;
  readonly lengthOf: (slot: number) => number;
}

/**
 * Sorts slots by the bytes of their keys, in place: four bytes at a time, and what is equal in these by the next four. Word and slot together are one
 * 64-bit integer, which typed arrays sort without calling back: about six times faster than a comparator.
 */
export function sortByKey(slots: Uint32Array, keys: SortableKeys, depth = 0): void {
  if (slots.length <= FEW) return void slots.sort(keys.compare);
  const pairs = new Uint32Array(slots.length * 2);
  for (let i = 0; i < slots.length; i++) {
    pairs[i * 2 + LOW] = slots[i]!;
    pairs[i * 2 + HIGH] = keys.prefixWord(slots[i]!, depth);
  }
  new BigUint64Array(pairs.buffer).sort();
  let first = 0;
  for (let i = 0; i < slots.length; i++) {
    slots[i] = pairs[i * 2 + LOW]!;
    if (i + 1 < slots.length && pairs[i * 2 + HIGH] === pairs[i * 2 + 2 + HIGH]) continue;
    if (i > first) sortEqual(slots.subarray(first, i + 1), keys, depth + 4);
    first = i + 1;
  }
}

/** Keys that agree in the bytes before `depth`, as far as they have any. One that ends there is the beginning of those that go on. */
function sortEqual(slots: Uint32Array, keys: SortableKeys, depth: number): void {
  if (depth > DEPTH_MAX) return void slots.sort(keys.compare);
  const ended = slots.filter((slot) => keys.lengthOf(slot) <= depth).sort(keys.compare);
  if (ended.length > 0) {
    const longer = slots.filter((slot) => keys.lengthOf(slot) > depth);
    slots.set(ended);
    slots.set(longer, ended.length);
  }
  if (ended.length < slots.length) sortByKey(slots.subarray(ended.length), keys, depth);
}

const FEW = 16;
/** Each level goes through all of its keys: those that agree in so much are few. */
const DEPTH_MAX = 256;
const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
const LOW = LITTLE_ENDIAN ? 0 : 1;
const HIGH = 1 - LOW;
