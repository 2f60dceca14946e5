/**
 * How a `SharedLruCache` lies in its one SharedArrayBuffer. Everything is fixed when it is made: a head, then one region for each shard,
 * all alike. Offsets with `At` count 32-bit words, those with `ByteAt` bytes.
 *
 *   head    what the layout was made from, the seats of the threads
 *   shard   control words │ watermarks │ buckets of the hash table │ slots │ links between blocks │ blocks
 *
 * An entry has one *slot*, with its place in the hash table and in the order of use, and a chain of *blocks*, all of one size, with its key
 * (UTF-16 code units, padded to four bytes) and then its value. Blocks of one size rather than slab classes: whatever an eviction frees serves
 * every other entry, so the least recently used leaves first whatever its size, and no class can starve another.
 */
export interface Layout {
  readonly shards: number;
  /** Entries, in all shards. */
  readonly entriesMax: number;
  readonly valueBytesMax: number;
  readonly blockBytes: number;
  readonly hashSeed: number;
  readonly slotsPerShard: number;
  readonly blocksPerShard: number;
  readonly bucketsPerShard: number;
  readonly shardAt: number;
  readonly shardWords: number;
  readonly watermarksAt: number;
  readonly bucketsAt: number;
  readonly slotsAt: number;
  readonly linksAt: number;
  readonly blocksByteAt: number;
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
  for (const [name, bound] of Object.entries({ shards, entriesMax, bytesMax, valueBytesMax, blockBytes }))
    if (!Number.isSafeInteger(bound) || bound < 1) throw new RangeError(`${name} must be a whole number of 1 or more, is ${bound}`);
  if (blockBytes % 8 !== 0) throw new RangeError(`blockBytes must be a multiple of 8, is ${blockBytes}`);
  if (shards > SHARDS_MAX) throw new RangeError(`shards must be ${SHARDS_MAX} or fewer, is ${shards}`);
  if (entriesMax < shards) throw new RangeError(`${entriesMax} entries in ${shards} shards: each must hold one at least`);
  const slotsPerShard = Math.ceil(entriesMax / shards);
  const blocksPerShard = Math.floor(bytesMax / shards / blockBytes);
  if (blocksPerShard < 1)
    throw new RangeError(`${bytesMax} bytes in ${shards} shards: each must hold a block of ${blockBytes} bytes at least`);
  const bucketsPerShard = 2 ** Math.ceil(Math.log2(slotsPerShard));
  const watermarksAt = CONTROL_WORDS;
  const bucketsAt = watermarksAt + 2 * WATERMARKS;
  const slotsAt = bucketsAt + bucketsPerShard;
  const linksAt = slotsAt + slotsPerShard * SLOT_WORDS;
  const blocksAt = evenUp(linksAt + blocksPerShard);
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
    slotsPerShard,
    blocksPerShard,
    bucketsPerShard,
    shardAt: HEAD_WORDS,
    shardWords,
    watermarksAt,
    bucketsAt,
    slotsAt,
    linksAt,
    blocksByteAt: blocksAt * 4,
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
  Atomics.store(words, Head.MAGIC, MAGIC);
}

/** @throws TypeError when the memory was not made by `SharedLruCache`, or by another version of it */
export function layoutOf(buffer: SharedArrayBuffer): Layout {
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
  const shard = Math.floor((Math.imul(hash, 0x9e3779b1) >>> 0) * shards * 2 ** -32);
  return shardAt + shard * shardWords;
}

/** The capacity is dealt out: shards differ by one entry at most. */
export function entriesMaxOf({ shards, shardAt: firstAt, shardWords }: Layout, shardAt: number, capacity: number): number {
  const shard = (shardAt - firstAt) / shardWords;
  return Math.floor(capacity / shards) + (shard < capacity % shards ? 1 : 0);
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
  /** One word a thread: its `threadId` plus 1, or 0. */
  SEATS: 16,
} as const;

/** Words at the start of a shard. The lock has a cache line of its own, since others spin on it. */
export const Control = {
  /** 0, or the holder's seat plus 1, with `WAITERS` when somebody sleeps. */
  LOCK: 0,
  /** 64 bits. Not 0: whoever takes the lock next empties the shard first, and raises all watermarks to this less 1. */
  DOOM: 2,
  COUNT: 16,
  BLOCKS_USED: 17,
  /** Slots and blocks, plus 1; 0 ends a list. */
  NEWEST: 18,
  OLDEST: 19,
  FREE_SLOT: 20,
  FREE_BLOCK: 21,
  /** Slots and blocks from here on were never used since the shard was last empty, so that emptying touches none of them. */
  SLOTS_TOUCHED: 22,
  BLOCKS_TOUCHED: 23,
  HITS: 24,
  MISSES: 25,
  EVICTIONS: 26,
  /** Calls that did not get the lock in time. */
  TIMED_OUT: 27,
  /** Times it was emptied because a holder of its lock died, or a change did not get the lock. */
  EMPTIED: 28,
} as const;

/** Words of a slot. Links are slots or blocks plus 1; 0 is none. */
export const Slot = {
  HASH: 0,
  KEY_UNITS: 1,
  VALUE_BYTES: 2,
  NEWER: 3,
  OLDER: 4,
  /** Next in its bucket, or in the list of free slots. */
  NEXT: 5,
  FIRST_BLOCK: 6,
  BLOCKS: 7,
} as const;

export const SEATS_MAX = 128;
export const SLOT_WORDS = 8;
/** Revisions below which a fill is refused, by key hash: see `SharedLruCache.fill`. */
export const WATERMARKS = 64;

const MAGIC = 0x4c525531;
const CACHE_LINE_WORDS = 16;
const HEAD_WORDS = Head.SEATS + SEATS_MAX;
const CONTROL_WORDS = 32;
const SHARDS_MAX = 4_096;
/** Word offsets must stay below 2^31. */
const BUFFER_BYTES_MAX = 8 * 1_024 ** 3 - 4;

function evenUp(words: number): number {
  return words + (words & 1);
}

function roundUp(words: number, unit: number): number {
  return Math.ceil(words / unit) * unit;
}
