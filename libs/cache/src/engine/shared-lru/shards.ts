import type { EvictReason } from '../evictions.js';
import type { Blocks } from './blocks.js';
import type { Layout } from './layout.js';
import { Control, SLOT_WORDS, Slot, WATERMARKS } from './layout.js';

/**
 * The data structure of the shards, for whoever holds the lock of the one it is asked about: a hash table with chains, a list in the order
 * of use, free lists of slots and blocks. `shardAt` is the first word of the shard, `slotAt` of a slot.
 *
 * Nothing here waits, throws for want of room, or looks at another shard.
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

  /** @returns the word of the slot that holds `key`, or 0 */
  find(shardAt: number, hash: number, key: string): number {
    const words = this.#words;
    const { bucketsAt, bucketsPerShard, slotsAt } = this.#layout;
    const units = key.length;
    let slot = words[shardAt + bucketsAt + (hash & (bucketsPerShard - 1))]!;
    while (slot !== 0) {
      const slotAt = shardAt + slotsAt + (slot - 1) * SLOT_WORDS;
      if (words[slotAt + Slot.HASH] === hash && words[slotAt + Slot.KEY_UNITS] === units && this.#blocks.hasKey(shardAt, slotAt, key))
        return slotAt;
      slot = words[slotAt + Slot.NEXT]!;
    }
    return 0;
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

  /** Whether one more entry of so many blocks fits now, when the shard may hold `entriesMax`. */
  #fits(shardAt: number, entriesMax: number, blocks: number): boolean {
    const words = this.#words;
    return words[shardAt + Control.COUNT]! < entriesMax && words[shardAt + Control.BLOCKS_USED]! + blocks <= this.#layout.blocksPerShard;
  }

  /** A new, most recently used entry. There is room (`fits`), and the key is not here. */
  #insert(shardAt: number, hash: number, key: string, value: Uint8Array): void {
    const words = this.#words;
    const { bucketsAt, bucketsPerShard } = this.#layout;
    const slot = this.#takeSlot(shardAt);
    const slotAt = this.#slotAt(shardAt, slot);
    const blocks = this.#blocks.countFor(key.length, value.byteLength);
    words[slotAt + Slot.HASH] = hash;
    words[slotAt + Slot.KEY_UNITS] = key.length;
    words[slotAt + Slot.VALUE_BYTES] = value.byteLength;
    words[slotAt + Slot.BLOCKS] = blocks;
    words[slotAt + Slot.FIRST_BLOCK] = this.#blocks.take(shardAt, blocks);
    this.#blocks.writeKey(shardAt, slotAt, key);
    this.#blocks.writeValue(shardAt, slotAt, value);
    const bucketAt = shardAt + bucketsAt + (hash & (bucketsPerShard - 1));
    words[slotAt + Slot.NEXT] = words[bucketAt]!;
    words[bucketAt] = slot;
    this.#linkNewest(shardAt, slotAt, slot);
    words[shardAt + Control.COUNT]!++;
  }

  /** Writes another value over that of an entry, if it takes as many blocks. @returns false when it does not */
  #overwrite(shardAt: number, slotAt: number, value: Uint8Array): boolean {
    const words = this.#words;
    const keyUnits = words[slotAt + Slot.KEY_UNITS]!;
    if (words[slotAt + Slot.BLOCKS] !== this.#blocks.countFor(keyUnits, value.byteLength)) return false;
    words[slotAt + Slot.VALUE_BYTES] = value.byteLength;
    this.#blocks.writeValue(shardAt, slotAt, value);
    return true;
  }

  /**
   * The value under the key, as the most recently used, with as many of the oldest gone as it takes, which are added to `gone`. One too large to be held is
   * itself what goes.
   *
   * @returns whether anything went
   */
  store(shardAt: number, hash: number, key: string, value: Uint8Array, entriesMax: number, gone: Gone[] | undefined): boolean {
    const { valueBytesMax, blocksPerShard } = this.#layout;
    const slotAt = this.find(shardAt, hash, key);
    const blocks = this.#blocks.countFor(key.length, value.byteLength);
    if (value.byteLength > valueBytesMax || blocks > blocksPerShard) {
      if (slotAt !== 0) this.remove(shardAt, slotAt);
      this.#words[shardAt + Control.EVICTIONS]!++;
      gone?.push({ key, value, reason: 'evicted' });
      return true;
    }
    if (slotAt !== 0) {
      if (this.#overwrite(shardAt, slotAt, value)) {
        this.touch(shardAt, slotAt);
        return false;
      }
      this.remove(shardAt, slotAt);
    }
    let evicted = false;
    for (; !this.#fits(shardAt, entriesMax, blocks); evicted = true) this.evictOldest(shardAt, gone);
    this.#insert(shardAt, hash, key, value);
    return evicted;
  }

  evictOldest(shardAt: number, gone: Gone[] | undefined): void {
    const slotAt = this.oldest(shardAt);
    gone?.push(this.copyOf(shardAt, slotAt, 'evicted'));
    this.remove(shardAt, slotAt);
    this.#words[shardAt + Control.EVICTIONS]!++;
  }

  copyOf(shardAt: number, slotAt: number, reason: EvictReason): Gone {
    return { key: this.#blocks.keyOf(shardAt, slotAt), value: this.#blocks.valueOf(shardAt, slotAt), reason };
  }

  remove(shardAt: number, slotAt: number): void {
    const words = this.#words;
    const { bucketsAt, bucketsPerShard } = this.#layout;
    const slot = this.#slotOf(shardAt, slotAt);
    let linkAt = shardAt + bucketsAt + (words[slotAt + Slot.HASH]! & (bucketsPerShard - 1));
    while (words[linkAt] !== slot) linkAt = this.#slotAt(shardAt, words[linkAt]!) + Slot.NEXT;
    words[linkAt] = words[slotAt + Slot.NEXT]!;
    this.#unlink(shardAt, slotAt);
    this.#blocks.free(shardAt, words[slotAt + Slot.FIRST_BLOCK]!, words[slotAt + Slot.BLOCKS]!);
    words[slotAt + Slot.NEXT] = words[shardAt + Control.FREE_SLOT]!;
    words[shardAt + Control.FREE_SLOT] = slot;
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
    return (shardAt + this.#layout.watermarksAt) / 2 + ((hash >>> WATERMARK_SHIFT) & (WATERMARKS - 1));
  }

  #takeSlot(shardAt: number): number {
    const words = this.#words;
    const free = words[shardAt + Control.FREE_SLOT]!;
    if (free === 0) return ++words[shardAt + Control.SLOTS_TOUCHED]!;
    words[shardAt + Control.FREE_SLOT] = words[this.#slotAt(shardAt, free) + Slot.NEXT]!;
    return free;
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
    return shardAt + this.#layout.slotsAt + (slot - 1) * SLOT_WORDS;
  }

  #slotOf(shardAt: number, slotAt: number): number {
    return (slotAt - shardAt - this.#layout.slotsAt) / SLOT_WORDS + 1;
  }
}

/** Bits of the hash above those that choose the bucket in a shard of any likely size. */
const WATERMARK_SHIFT = 26;

const EMPTY_WORDS = [
  Control.COUNT,
  Control.BLOCKS_USED,
  Control.NEWEST,
  Control.OLDEST,
  Control.FREE_SLOT,
  Control.FREE_BLOCK,
  Control.SLOTS_TOUCHED,
  Control.BLOCKS_TOUCHED,
];

/** An entry that left. */
export interface Gone {
  readonly key: string;
  readonly value: Uint8Array;
  readonly reason: EvictReason;
}
