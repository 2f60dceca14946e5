import { assertBound } from '../bounded-cache.js';

/**
 * How a `SharedLruCache` lies in its one SharedArrayBuffer. Everything is fixed when it is made: a head, then one region for each shard,
 * all alike. Offsets with `At` count 32-bit words, those with `ByteAt` bytes.
 *
 *   head    what the layout was made from, the seats of the threads
 *   shard   control words │ watermarks │ expiries │ buckets of the hash table │ slots │ links between blocks │ blocks
 *
 * An entry has a chain of *blocks*, all of one size, with its key (`KeyBytes`, padded to eight bytes) and then its value. Blocks of one size rather than
 * slab classes: whatever an eviction frees serves every other entry, so the least recently used leaves first whatever its size, and no class can starve another.
 *
 * Every block has a *slot* of the same number, used for the first block of an entry: the place of the entry in the hash table and in the order of use. So
 * what a bucket says is where the slot is and where the key is, and a processor can fetch both at once.
 */
export interface Layout {
  readonly shards: number;
  /** Entries, in all shards. */
  readonly entriesMax: number;
  readonly valueBytesMax: number;
  readonly blockBytes: number;
  readonly hashSeed: number;
  readonly blocksPerShard: number;
  /** That a shard can hold at most: each takes a block. */
  readonly entriesPerShard: number;
  readonly bucketsPerShard: number;
  readonly shardAt: number;
  readonly shardWords: number;
  readonly watermarksAt: number;
  readonly expiriesAt: number;
  readonly bucketsAt: number;
  readonly slotsAt: number;
  readonly linksAt: number;
  readonly blocksAt: number;
  readonly byteLength: number;
}

export interface Plan {
  readonly shards: number;
  readonly entriesMax: number;
  readonly bytesMax: number;
  readonly valueBytesMax: number;
  readonly blockBytes: number;
  readonly hashSeed: number;
}

/** @throws RangeError when the bounds leave a shard without room for one entry, or are no whole numbers */
export function layOut(plan: Plan): Layout {
  const { shards, entriesMax, bytesMax, valueBytesMax, blockBytes, hashSeed } = plan;
  for (const [name, bound] of Object.entries({ shards, entriesMax, bytesMax, valueBytesMax, blockBytes })) assertBound(name, bound);
  if (blockBytes % 8 !== 0) throw new RangeError(`blockBytes must be a multiple of 8, is ${blockBytes}`);
  if (valueBytesMax > VALUE_BYTES_MOST) throw new RangeError(`valueBytesMax must be ${VALUE_BYTES_MOST} or less, is ${valueBytesMax}`);
  if (shards > SHARDS_MAX) throw new RangeError(`shards must be ${SHARDS_MAX} or fewer, is ${shards}`);
  if (entriesMax < shards) throw new RangeError(`${entriesMax} entries in ${shards} shards: each must hold one at least`);
  const blocksPerShard = Math.floor(bytesMax / shards / blockBytes);
  if (blocksPerShard < 1)
    throw new RangeError(`${bytesMax} bytes in ${shards} shards: each must hold a block of ${blockBytes} bytes at least`);
  const entriesPerShard = Math.min(Math.ceil(entriesMax / shards), blocksPerShard);
  const bucketsPerShard = 2 ** Math.ceil(Math.log2(entriesPerShard));
  const watermarksAt = CONTROL_WORDS;
  const expiriesAt = watermarksAt + 2 * WATERMARKS;
  const bucketsAt = expiriesAt + 2 * blocksPerShard;
  const slotsAt = lineUp(bucketsAt + bucketsPerShard);
  const linksAt = slotsAt + blocksPerShard * SLOT_WORDS;
  const blocksAt = lineUp(linksAt + blocksPerShard);
  const shardWords = roundUp(blocksAt + (blocksPerShard * blockBytes) / 4, CACHE_LINE_WORDS);
  const byteLength = (HEAD_WORDS + shards * shardWords) * 4;
  if (byteLength > BUFFER_BYTES_MAX)
    throw new RangeError(`${byteLength} bytes of shared memory are more than the ${BUFFER_BYTES_MAX} possible`);
  return {
    shards,
    entriesMax,
    valueBytesMax,
    blockBytes,
    hashSeed,
    blocksPerShard,
    entriesPerShard,
    bucketsPerShard,
    shardAt: HEAD_WORDS,
    shardWords,
    watermarksAt,
    expiriesAt,
    bucketsAt,
    slotsAt,
    linksAt,
    blocksAt,
    byteLength,
  };
}

/** Writes what `layoutOf` reads. */
export function inscribe(words: Int32Array, plan: Plan): void {
  words[Head.SHARDS] = plan.shards;
  words[Head.ENTRIES_MAX] = plan.entriesMax;
  words[Head.CAPACITY] = plan.entriesMax;
  words[Head.BYTES_MAX_HIGH] = Math.floor(plan.bytesMax / 2 ** 32);
  words[Head.BYTES_MAX_LOW] = plan.bytesMax | 0;
  words[Head.VALUE_BYTES_MAX] = plan.valueBytesMax;
  words[Head.BLOCK_BYTES] = plan.blockBytes;
  words[Head.HASH_SEED] = plan.hashSeed;
  words[Head.BLOCKS_PER_SHARD] = layOut(plan).blocksPerShard;
  Atomics.store(words, Head.MAGIC, MAGIC);
}

/** @throws TypeError when the memory was not made by `SharedLruCache`, or by another version of it, or can grow */
export function layoutOf(buffer: SharedArrayBuffer): Layout {
  if (buffer.growable) throw new TypeError('this memory can grow; that of a SharedLruCache cannot');
  const words = new Int32Array(buffer, 0, Math.min(HEAD_WORDS, Math.floor(buffer.byteLength / 4)));
  if (words.length < HEAD_WORDS || Atomics.load(words, Head.MAGIC) !== MAGIC) throw new TypeError('this memory holds no SharedLruCache');
  const layout = layOut({
    shards: words[Head.SHARDS]!,
    entriesMax: words[Head.ENTRIES_MAX]!,
    bytesMax: words[Head.BYTES_MAX_HIGH]! * 2 ** 32 + (words[Head.BYTES_MAX_LOW]! >>> 0),
    valueBytesMax: words[Head.VALUE_BYTES_MAX]!,
    blockBytes: words[Head.BLOCK_BYTES]!,
    hashSeed: words[Head.HASH_SEED]!,
  });
  if (layout.byteLength !== buffer.byteLength) throw new TypeError('this memory holds a SharedLruCache of another layout');
  return layout;
}

/** The first word of the shard where a key of this hash belongs. */
export function shardAtOf({ shards, shardAt, shardWords }: Layout, hash: number): number {
  // The high bits of a multiplication: independent of the low bits, by which the shard chooses the bucket.
  const shard = ((Math.imul(hash, 0x9e3779b1) >>> 0) * shards * 2 ** -32) | 0;
  return wordAt(shardAt, shard, shardWords);
}

/** The first words of all shards. */
export function shardsOf({ shards, shardAt, shardWords }: Layout): number[] {
  return Array.from({ length: shards }, (_, shard) => wordAt(shardAt, shard, shardWords));
}

/** The word where the element of this index begins. By integers throughout: what was once a fraction is slow to index with ever after. */
export function wordAt(firstAt: number, index: number, words: number): number {
  return (firstAt + Math.imul(index, words)) | 0;
}

/** The first word of a slot, counted from 1; `slotsAt` is of the layout. */
export function slotAtOf(slotsAt: number, shardAt: number, slot: number): number {
  return wordAt(shardAt + slotsAt, slot - 1, SLOT_WORDS);
}

/** The slot, and the first block, of the entry whose slot begins at this word. */
export function slotOf(slotsAt: number, shardAt: number, slotAt: number): number {
  return ((slotAt - shardAt - slotsAt) >> SLOT_SHIFT) + 1;
}

/** The capacity is dealt out: shards differ by one entry at most. */
export function entriesMaxOf({ shards, shardAt: firstAt, shardWords }: Layout, shardAt: number, capacity: number): number {
  const shard = (shardAt - firstAt) / shardWords;
  return Math.floor(capacity / shards) + (shard < capacity % shards ? 1 : 0);
}

/** @returns blocks a shard may use @throws RangeError for bounds below one entry and one block a shard, or above what the cache was made with */
export function blocksPerShardFor(layout: Layout, capacity: number, bytesMax: number): number {
  const { shards, entriesMax, blocksPerShard, blockBytes } = layout;
  if (!Number.isSafeInteger(capacity) || capacity < shards || capacity > entriesMax)
    throw new RangeError(
      `capacity must be a whole number from ${shards} (one entry a shard) to ${entriesMax} (as it was made), is ${capacity}`,
    );
  const [least, most] = [shards * blockBytes, shards * blocksPerShard * blockBytes];
  if (!(bytesMax >= least && bytesMax <= most))
    throw new RangeError(`bytesMax must be from ${least} (one block a shard) to ${most} (as it was made), is ${bytesMax}`);
  return Math.floor(bytesMax / shards / blockBytes);
}

/** Words of the head. */
export const Head = {
  MAGIC: 0,
  SHARDS: 1,
  ENTRIES_MAX: 2,
  /** Entries allowed now: `resize` lowers it, and raises it up to `ENTRIES_MAX`. */
  CAPACITY: 3,
  BYTES_MAX_HIGH: 4,
  BYTES_MAX_LOW: 5,
  VALUE_BYTES_MAX: 6,
  BLOCK_BYTES: 7,
  HASH_SEED: 8,
  /** Blocks a shard may use now: `resize` lowers it, and raises it up to what there are. */
  BLOCKS_PER_SHARD: 9,
  /** Not 0 from before the first entry with a time to live is added: until then nobody has to ask for the time. */
  TIMED: 10,
  /** One word a thread: its `threadId` plus 1, or 0. */
  SEATS: 16,
} as const;

/** Words at the start of a shard. The lock has a cache line of its own, wherever the memory begins, since others spin on it. */
export const Control = {
  /** 0, or the holder's seat, with `WAITERS` when somebody sleeps. */
  LOCK: 16,
  /** 64 bits. Not 0: whoever takes the lock next empties the shard first, and raises all watermarks to this less 1. */
  DOOM: 18,
  COUNT: 32,
  BLOCKS_USED: 33,
  /** Slots and blocks, counted from 1; 0 ends a list. */
  NEWEST: 34,
  OLDEST: 35,
  FREE_BLOCK: 36,
  /** Blocks from here on were never used since the shard was last empty, so that emptying touches none of them. */
  BLOCKS_TOUCHED: 37,
  HITS: 38,
  MISSES: 39,
  EVICTIONS: 40,
  /** Calls that did not get the lock in time. */
  TIMED_OUT: 41,
  /** Times it was emptied because a holder of its lock died, a change of it threw, or a change did not get the lock. */
  EMPTIED: 42,
} as const;

/** Words of a slot; one is to spare. Links are slots, counted from 1; 0 is none. */
export const Slot = {
  HASH: 0,
  /** See `KeyBytes`. */
  KEY_TAG: 1,
  /** `ABSENCE` where it is remembered that there is no value. */
  VALUE_BYTES: 2,
  NEWER: 3,
  OLDER: 4,
  /** Next in its bucket. */
  NEXT: 5,
  /** How many, with `TIMED` when it has an expiry. */
  BLOCKS: 6,
} as const;

export const ABSENCE = -1;
export const TIMED = 1 << 31;
export const BLOCKS_MASK = ~TIMED;

export const SEATS_MAX = 128;
const SLOT_SHIFT = 3;
const SLOT_WORDS = 1 << SLOT_SHIFT;
/** Revisions below which a fill is refused, by key hash: see `SharedLruCache.fill`. */
export const WATERMARKS = 64;

/** As long as a word of a slot can say. */
export const VALUE_BYTES_MOST = 2 ** 31 - 1;

const MAGIC = 0x4c525533;
const CACHE_LINE_WORDS = 16;
const ALLOCATOR_WORDS = 4;
const HEAD_WORDS = Head.SEATS + SEATS_MAX;
const CONTROL_WORDS = 48;
const SHARDS_MAX = 4_096;
/** Word offsets must stay below 2^31. */
const BUFFER_BYTES_MAX = 8 * 1_024 ** 3 - 4;

/**
 * Where a cache line begins, if the memory begins 16 bytes after one, as glibc's does that has pages of its own; elsewhere every other slot lies in two lines,
 * which costs time and nothing else. Always a multiple of eight bytes.
 */
function lineUp(words: number): number {
  return roundUp(words + ALLOCATOR_WORDS, CACHE_LINE_WORDS) - ALLOCATOR_WORDS;
}

function roundUp(words: number, unit: number): number {
  return Math.ceil(words / unit) * unit;
}
