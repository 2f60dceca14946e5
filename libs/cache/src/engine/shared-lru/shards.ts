import type { EvictReason } from '../evictions.js';
import type { Blocks } from './blocks.js';
import type { KeyBytes } from './key-bytes.js';
import type { Layout } from './layout.js';
import { ABSENCE, BLOCKS_MASK, Control, Head, Slot, slotAtOf, slotOf, TIMED, WATERMARKS } from './layout.js';

/**
 * The data structure of the shards, for whoever holds the lock of the one it is asked about: a hash table with chains, a list in the order
 * of use, a free list of blocks. `shardAt` is the first word of the shard, `slotAt` of a slot.
 *
 * Nothing here waits, or looks at another shard. To copy what leaves takes memory, which can fail; and a value can be unreadable.
 */
export class Shards {
  readonly #layout: Layout;
  readonly #blocks: Blocks;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;

  constructor(layout: Layout, memory: SharedArrayBuffer, blocks: Blocks) {
    this.#layout = layout;
    this.#blocks = blocks;
    this.#words = new Int32Array(memory);
    this.#doubles = new Float64Array(memory);
  }

  /** @returns the word of the slot that holds `key`, expired or not, or 0 */
  find(shardAt: number, key: KeyBytes): number {
    const words = this.#words;
    const { hash, tag } = key;
    const { bucketsAt, bucketsPerShard, slotsAt } = this.#layout;
    let slot = words[shardAt + bucketsAt + (hash & (bucketsPerShard - 1))]!;
    while (slot !== 0) {
      const slotAt = slotAtOf(slotsAt, shardAt, slot);
      if (words[slotAt + Slot.HASH] === hash && words[slotAt + Slot.KEY_TAG] === tag && this.#blocks.hasKey(shardAt, slot, key))
        return slotAt;
      slot = words[slotAt + Slot.NEXT]!;
    }
    return 0;
  }

  /** Whether there is an entry (`slotAt` is not 0) that has not expired: it is shown until the very moment when it does. */
  isShown(shardAt: number, slotAt: number, nowMs: number): boolean {
    if (slotAt === 0) return false;
    return (this.#words[slotAt + Slot.BLOCKS]! & TIMED) === 0 || nowMs <= this.#doubles[this.#expiryAt(shardAt, slotAt)]!;
  }

  /** Makes it the most recently used. */
  touch(shardAt: number, slotAt: number): void {
    const words = this.#words;
    const slot = this.#slotOf(shardAt, slotAt);
    if (words[shardAt + Control.NEWEST] === slot) return;
    this.#unlink(shardAt, slotAt);
    this.#linkNewest(shardAt, slotAt, slot);
  }

  /** The entry least recently used, or 0. */
  oldest(shardAt: number): number {
    const slot = this.#words[shardAt + Control.OLDEST]!;
    return slot === 0 ? 0 : this.#slotAt(shardAt, slot);
  }

  /** The next more recently used, or 0. */
  newer(shardAt: number, slotAt: number): number {
    const slot = this.#words[slotAt + Slot.NEWER]!;
    return slot === 0 ? 0 : this.#slotAt(shardAt, slot);
  }

  /** Whether the shard is within its bounds of entries and blocks with so many more of them. */
  fits(shardAt: number, { entriesMax, blocksMax }: Bounds, entries: number, blocks: number): boolean {
    const words = this.#words;
    return words[shardAt + Control.COUNT]! + entries <= entriesMax && words[shardAt + Control.BLOCKS_USED]! + blocks <= blocksMax;
  }

  /** What a shard may hold of blocks now. Another thread may change it at any time (`resize`), so who decides by it reads it once. */
  blocksMax(): number {
    return Atomics.load(this.#words, Head.BLOCKS_PER_SHARD);
  }

  /** A new, most recently used entry. There is room (`fits`), and the key is not here. */
  #insert(shardAt: number, key: KeyBytes, entry: Entry, blocks: number): void {
    const words = this.#words;
    const { bucketsAt, bucketsPerShard } = this.#layout;
    const slot = this.#blocks.take(shardAt, blocks);
    const slotAt = this.#slotAt(shardAt, slot);
    words[slotAt + Slot.HASH] = key.hash;
    words[slotAt + Slot.KEY_TAG] = key.tag;
    this.#blocks.writeKey(shardAt, slotAt, key);
    this.#write(shardAt, slotAt, entry, blocks);
    const bucketAt = shardAt + bucketsAt + (key.hash & (bucketsPerShard - 1));
    words[slotAt + Slot.NEXT] = words[bucketAt]!;
    words[bucketAt] = slot;
    this.#linkNewest(shardAt, slotAt, slot);
    words[shardAt + Control.COUNT]!++;
  }

  #write(shardAt: number, slotAt: number, { value, expiryMs }: Entry, blocks: number): void {
    const words = this.#words;
    words[slotAt + Slot.VALUE_BYTES] = value === null ? ABSENCE : value.byteLength;
    words[slotAt + Slot.BLOCKS] = expiryMs === undefined ? blocks : blocks | TIMED;
    if (expiryMs !== undefined) this.#doubles[this.#expiryAt(shardAt, slotAt)] = expiryMs;
    if (value !== null) this.#blocks.writeValue(shardAt, slotAt, value);
  }

  /**
   * The entry under the key, as the most recently used, with as many of the oldest gone as it takes, which are added to `gone`. One too large to be held is
   * itself what goes. Another value of as many blocks is written over the one before.
   */
  store(shardAt: number, key: KeyBytes, entry: Entry, entriesMax: number, gone: Gone[] | undefined): Outcome {
    const words = this.#words;
    const bytes = entry.value === null ? 0 : entry.value.byteLength;
    const slotAt = this.find(shardAt, key);
    const blocks = this.#blocks.countFor(key.tag, bytes);
    const bounds = { entriesMax, blocksMax: this.blocksMax() };
    if (bytes > this.#layout.valueBytesMax || blocks > bounds.blocksMax) {
      if (slotAt !== 0) this.remove(shardAt, slotAt);
      words[shardAt + Control.EVICTIONS]!++;
      gone?.push({ key: entry.key, value: entry.value, reason: 'evicted' });
      return Outcome.TOO_LARGE;
    }
    if (slotAt !== 0) {
      if ((words[slotAt + Slot.BLOCKS]! & BLOCKS_MASK) === blocks) {
        this.#write(shardAt, slotAt, entry, blocks);
        this.touch(shardAt, slotAt);
        return Outcome.HELD;
      }
      this.remove(shardAt, slotAt);
    }
    let outcome: Outcome = Outcome.HELD;
    for (; !this.fits(shardAt, bounds, 1, blocks); outcome = Outcome.HELD_FOR_ANOTHER) this.evictOldest(shardAt, gone);
    this.#insert(shardAt, key, entry, blocks);
    return outcome;
  }

  evictOldest(shardAt: number, gone: Gone[] | undefined): void {
    this.drop(shardAt, this.oldest(shardAt), 'evicted', gone);
    this.#words[shardAt + Control.EVICTIONS]!++;
  }

  /** Removes it, a copy of it added to `gone`. */
  drop(shardAt: number, slotAt: number, reason: EvictReason, gone: Gone[] | undefined): void {
    gone?.push(this.copyOf(shardAt, slotAt, reason));
    this.remove(shardAt, slotAt);
  }

  copyOf(shardAt: number, slotAt: number, reason: EvictReason): Gone {
    return { key: this.#blocks.keyOf(shardAt, slotAt), value: this.#valueOf(shardAt, slotAt), reason };
  }

  /** Of its value; `ABSENCE` for a remembered absence. */
  valueBytes(slotAt: number): number {
    return this.#words[slotAt + Slot.VALUE_BYTES]!;
  }

  #valueOf(shardAt: number, slotAt: number): Buffer | null {
    const bytes = this.valueBytes(slotAt);
    if (bytes === ABSENCE) return null;
    const copy = Buffer.allocUnsafe(bytes);
    this.#blocks.readValue(shardAt, slotAt, copy, 0);
    return copy;
  }

  remove(shardAt: number, slotAt: number): void {
    const words = this.#words;
    const { bucketsAt, bucketsPerShard } = this.#layout;
    const slot = this.#slotOf(shardAt, slotAt);
    let linkAt = shardAt + bucketsAt + (words[slotAt + Slot.HASH]! & (bucketsPerShard - 1));
    while (words[linkAt] !== slot) linkAt = this.#slotAt(shardAt, words[linkAt]!) + Slot.NEXT;
    words[linkAt] = words[slotAt + Slot.NEXT]!;
    this.#unlink(shardAt, slotAt);
    this.#blocks.free(shardAt, slotAt);
    words[shardAt + Control.COUNT]!--;
  }

  /** Forgets all entries, whatever state they are in: nothing of them is read. */
  empty(shardAt: number): void {
    const words = this.#words;
    const { bucketsAt, bucketsPerShard } = this.#layout;
    words.fill(0, shardAt + bucketsAt, shardAt + bucketsAt + bucketsPerShard);
    for (const word of EMPTY_WORDS) words[shardAt + word] = 0;
  }

  watermark(shardAt: number, hash: number): number {
    return this.#doubles[this.#watermarkAt(shardAt, hash)]!;
  }

  raiseWatermark(shardAt: number, hash: number, revision: number): void {
    const at = this.#watermarkAt(shardAt, hash);
    if (this.#doubles[at]! < revision) this.#doubles[at] = revision;
  }

  raiseAllWatermarks(shardAt: number, revision: number): void {
    for (let cell = 0; cell < WATERMARKS; cell++) this.raiseWatermark(shardAt, cell << WATERMARK_SHIFT, revision);
  }

  #watermarkAt(shardAt: number, hash: number): number {
    return ((shardAt + this.#layout.watermarksAt) >> 1) + ((hash >>> WATERMARK_SHIFT) & (WATERMARKS - 1));
  }

  #expiryAt(shardAt: number, slotAt: number): number {
    return ((shardAt + this.#layout.expiriesAt) >> 1) + this.#slotOf(shardAt, slotAt) - 1;
  }

  #linkNewest(shardAt: number, slotAt: number, slot: number): void {
    const words = this.#words;
    const newest = words[shardAt + Control.NEWEST]!;
    words[slotAt + Slot.NEWER] = 0;
    words[slotAt + Slot.OLDER] = newest;
    if (newest === 0) words[shardAt + Control.OLDEST] = slot;
    else words[this.#slotAt(shardAt, newest) + Slot.NEWER] = slot;
    words[shardAt + Control.NEWEST] = slot;
  }

  #unlink(shardAt: number, slotAt: number): void {
    const words = this.#words;
    const newer = words[slotAt + Slot.NEWER]!;
    const older = words[slotAt + Slot.OLDER]!;
    if (newer === 0) words[shardAt + Control.NEWEST] = older;
    else words[this.#slotAt(shardAt, newer) + Slot.OLDER] = older;
    if (older === 0) words[shardAt + Control.OLDEST] = newer;
    else words[this.#slotAt(shardAt, older) + Slot.NEWER] = newer;
  }

  #slotAt(shardAt: number, slot: number): number {
    return slotAtOf(this.#layout.slotsAt, shardAt, slot);
  }

  #slotOf(shardAt: number, slotAt: number): number {
    return slotOf(this.#layout.slotsAt, shardAt, slotAt);
  }
}

/** Bits of the hash above those that choose the bucket in a shard of any likely size. */
const WATERMARK_SHIFT = 26;

const EMPTY_WORDS = [Control.COUNT, Control.BLOCKS_USED, Control.NEWEST, Control.OLDEST, Control.FREE_BLOCK, Control.BLOCKS_TOUCHED];

/** What became of an entry that was to be stored. */
export const Outcome = {
  /** Not tried. */
  REFUSED: 0,
  HELD: 1,
  /** Something was pushed out for it. */
  HELD_FOR_ANOTHER: 2,
  /** It was itself pushed out. */
  TOO_LARGE: 3,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** Of one shard. */
export interface Bounds {
  readonly entriesMax: number;
  readonly blocksMax: number;
}

/** What is to be stored. */
export interface Entry {
  readonly key: string;
  /** Nobody changes its length meanwhile. */
  readonly value: Uint8Array | null;
  /** Undefined: never. */
  readonly expiryMs: number | undefined;
}

/** An entry that left. */
export interface Gone {
  readonly key: string;
  readonly value: Uint8Array | null;
  readonly reason: EvictReason;
}
