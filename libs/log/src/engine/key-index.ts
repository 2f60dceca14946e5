import type { ByteBlock } from './byte-block.js';
import { blockOf, byteBlock } from './byte-block.js';
import { compareBytes, equalBytes, hashBytes } from './byte-hash.js';
import { KeyArena } from './key-arena.js';
import { KeyOrder } from './key-order.js';
import { END, OTHER, ProbeTable } from './probe-table.js';

/** Where the newest record of a key is, and what can be said of it without reading. */
export interface Location {
  /** The segment's id. */
  readonly segment: number;
  readonly offset: number;
  readonly recordBytes: number;
  readonly valueBytes: number;
  readonly revision: number;
}

/**
 * Every key that is present. A key is looked up by its UTF-8 bytes where they lie (in a batch, in a window of a file), and no string is made of it. Keys and
 * locations are columns of numbers, one slot a key: about 75 bytes a key of 24 bytes, and nothing for the garbage collector to visit.
 *
 * Nothing here grows by copying all of it: columns come in chunks, and the table from hashes to slots is 256 tables that double each by itself, so no append
 * has to wait for a million keys to be moved.
 */
export class KeyIndex {
  readonly #tables = Array.from({ length: TABLES }, () => new ProbeTable(TABLE_CELLS_MIN));
  readonly #columns: Columns[] = [];
  readonly #arena = new KeyArena();
  readonly #order: KeyOrder;
  #slots = 0;
  #size = 0;
  readonly #free: number[] = [];
  /** By segment id: records of puts that a later mutation superseded. */
  readonly #deadBytes: number[] = [];
  #valueBytesTotal = 0;
  /** Means nothing; but what is touched has to go somewhere. */
  #touched = 0;

  constructor() {
    this.#order = new KeyOrder({
      all: () => this.#presentSlots(),
      isPresent: (slot) => this.#chunk(slot).segment[slot & CHUNK_MASK] !== NOWHERE,
      compare: (a, b) => this.#compare(a, b),
      prefixWord: (slot, depth) => this.#prefixWord(slot, depth),
      lengthOf: (slot) => this.#chunk(slot).keyBytes[slot & CHUNK_MASK]!,
      release: (slot) => this.#release(slot),
    });
  }

  /** Keys present. */
  get size(): number {
    return this.#size;
  }

  /** Of the values of all present keys. */
  get valueBytesTotal(): number {
    return this.#valueBytesTotal;
  }

  /** The slot of the key that lies in the view; undefined when it is absent. @param hash of the key, by `hashBytes` */
  find(view: DataView, start: number, length: number, hash: number): number | undefined {
    const table = this.#tables[hash >>> TABLE_SHIFT]!;
    for (let cell = table.first(hash), slot; (slot = table.at(cell, hash)) !== END; cell = table.next(cell))
      if (slot !== OTHER && this.#isKey(slot, view, start, length)) return slot;
    return undefined;
  }

  /** As `ProbeTable.touch`. */
  touch(hash: number): void {
    this.#touched ^= this.#tables[hash >>> TABLE_SHIFT]!.touch(hash);
  }

  has(view: DataView, start: number, length: number): boolean {
    return this.find(view, start, length, hashBytes(view, start, length)) !== undefined;
  }

  findKey(key: string): number | undefined {
    const length = encodeKey(key);
    return this.find(scratch.view, 0, length, hashBytes(scratch.view, 0, length));
  }

  get(key: string): Location | undefined {
    const slot = this.findKey(key);
    return slot === undefined ? undefined : this.#locationOf(slot);
  }

  /** Of the entry in a slot. */
  revisionAt(slot: number): number {
    return this.#chunk(slot).revision[slot & CHUNK_MASK]!;
  }

  /** Gives the key that lies in the view a location. @param slot what `find` answers @param hash of the key, by `hashBytes` */
  set(
    slot: number | undefined,
    view: DataView,
    keyStart: number,
    keyBytes: number,
    hash: number,
    segment: number,
    offset: number,
    recordBytes: number,
    valueBytes: number,
    revision: number,
  ): void {
    if (slot === undefined) slot = this.#add(view, keyStart, keyBytes, hash);
    else this.#supersede(slot);
    const chunk = this.#chunk(slot);
    const i = slot & CHUNK_MASK;
    chunk.segment[i] = segment;
    chunk.offset[i] = offset;
    chunk.recordBytes[i] = recordBytes;
    chunk.valueBytes[i] = valueBytes;
    chunk.revision[i] = revision;
    this.#valueBytesTotal += valueBytes;
  }

  /** @param slot what `find` answers @param hash of its key, by `hashBytes` */
  delete(slot: number | undefined, hash: number): void {
    if (slot === undefined) return;
    this.#supersede(slot);
    this.#tables[hash >>> TABLE_SHIFT]!.remove(hash, slot);
    this.#size--;
    this.#chunk(slot).segment[slot & CHUNK_MASK] = NOWHERE;
    this.#order.onDelete(slot, this.#size);
  }

  /** Bytes of the segment's records that hold entries no more. */
  deadBytes(segment: number): number {
    return this.#deadBytes[segment] ?? 0;
  }

  /** Before a segment's id is used for another. */
  forgetDeadBytes(segment: number): void {
    this.#deadBytes[segment] = 0;
  }

  /** Where the location of the key that lies in the view is kept, for `move`; undefined unless its entry is of this revision. */
  slotOf(view: DataView, start: number, length: number, revision: number): number | undefined {
    const slot = this.find(view, start, length, hashBytes(view, start, length));
    return slot !== undefined && this.revisionAt(slot) === revision ? slot : undefined;
  }

  /**
   * A record was copied to another segment: its entry is read from there from now on. When it was superseded since `slotOf`, the copy counts as
   * dead. @param recordBytes of the copy
   */
  move(slot: number, from: { segment: number; offset: number }, to: { segment: number; offset: number }, recordBytes: number): void {
    const chunk = this.#chunk(slot);
    const i = slot & CHUNK_MASK;
    if (chunk.segment[i] === from.segment && chunk.offset[i] === from.offset) {
      chunk.segment[i] = to.segment;
      chunk.offset[i] = to.offset;
    } else this.#deadBytes[to.segment] = this.deadBytes(to.segment) + recordBytes;
  }

  /**
   * Puts the keys in order, giving way to others every few milliseconds. To be awaited before `scan`, which then has little left to do.
   * Keys are put in order when somebody asks, not when they come: appends do not pay for it.
   */
  sort(): Promise<void> {
    return this.#order.settle();
  }

  /**
   * Visits the keys that begin with `prefix` and sort after `after`, in the order of their bytes, until `visit` answers false. The index must not change
   * meanwhile.
   */
  scan(prefix: string, after: string | undefined, visit: (key: string, location: Location) => boolean): void {
    const begin = Buffer.from(prefix);
    const { view: beginView } = blockOf(begin);
    const past = after === undefined ? undefined : Buffer.from(after);
    const from = past && Buffer.compare(past, begin) >= 0 ? past : begin;
    const beginsBefore = (slot: number) => this.#compareTo(slot, from) < (from === past ? 1 : 0);
    this.#order.scan(beginsBefore, (slot) => {
      const chunk = this.#chunk(slot);
      const i = slot & CHUNK_MASK;
      const { bytes, view, start } = this.#keyAt(slot);
      if (chunk.keyBytes[i]! < begin.length || !equalBytes(view, start, beginView, 0, begin.length)) return false;
      return visit(bytes.toString('utf8', start, start + chunk.keyBytes[i]!), this.#locationOf(slot));
    });
  }

  #add(view: DataView, start: number, length: number, hash: number): number {
    const slot = this.#free.pop() ?? this.#newSlot();
    const chunk = this.#chunk(slot);
    chunk.key[slot & CHUNK_MASK] = this.#arena.add(view, start, length);
    chunk.keyBytes[slot & CHUNK_MASK] = length;
    this.#tables[hash >>> TABLE_SHIFT]!.add(hash, slot);
    this.#size++;
    this.#order.onAdd(slot, this.#size);
    return slot;
  }

  #presentSlots(): Uint32Array {
    const present = new Uint32Array(this.#size);
    let length = 0;
    for (let slot = 0; slot < this.#slots; slot++) if (this.#chunk(slot).segment[slot & CHUNK_MASK] !== NOWHERE) present[length++] = slot;
    return present;
  }

  #newSlot(): number {
    if (this.#slots === this.#columns.length * CHUNK_SLOTS) this.#columns.push(new Columns());
    return this.#slots++;
  }

  /** The slot may be another key's from now on. */
  #release(slot: number): void {
    const chunk = this.#chunk(slot);
    this.#arena.free(chunk.key[slot & CHUNK_MASK]!, chunk.keyBytes[slot & CHUNK_MASK]!);
    this.#free.push(slot);
  }

  #chunk(slot: number): Columns {
    return this.#columns[slot >>> CHUNK_SHIFT]!;
  }

  #keyAt(slot: number): ByteBlock & { start: number } {
    const place = this.#chunk(slot).key[slot & CHUNK_MASK]!;
    const { bytes, view } = this.#arena.chunkOf(place);
    return { bytes, view, start: this.#arena.offsetOf(place) };
  }

  #isKey(slot: number, view: DataView, start: number, length: number): boolean {
    const chunk = this.#chunk(slot);
    const i = slot & CHUNK_MASK;
    if (chunk.keyBytes[i] !== length) return false;
    const place = chunk.key[i]!;
    return equalBytes(this.#arena.chunkOf(place).view, this.#arena.offsetOf(place), view, start, length);
  }

  #compare(a: number, b: number): number {
    const [one, other] = [this.#keyAt(a), this.#keyAt(b)];
    const lengths = [this.#chunk(a).keyBytes[a & CHUNK_MASK]!, this.#chunk(b).keyBytes[b & CHUNK_MASK]!] as const;
    return compareBytes(one.bytes, one.start, lengths[0], other.bytes, other.start, lengths[1]);
  }

  #compareTo(slot: number, key: Buffer): number {
    const { bytes, start } = this.#keyAt(slot);
    return compareBytes(bytes, start, this.#chunk(slot).keyBytes[slot & CHUNK_MASK]!, key, 0, key.length);
  }

  /** Four bytes of the key from `depth` on as a number that sorts as they do; zeros behind its end. */
  #prefixWord(slot: number, depth: number): number {
    const { bytes, view, start } = this.#keyAt(slot);
    const length = this.#chunk(slot).keyBytes[slot & CHUNK_MASK]!;
    if (depth + 4 <= length) return view.getUint32(start + depth);
    let word = 0;
    for (let i = 0; i < 4; i++) word = word * 256 + (depth + i < length ? bytes[start + depth + i]! : 0);
    return word;
  }

  #supersede(slot: number): void {
    const chunk = this.#chunk(slot);
    const i = slot & CHUNK_MASK;
    this.#valueBytesTotal -= chunk.valueBytes[i]!;
    const segment = chunk.segment[i]!;
    this.#deadBytes[segment] = this.deadBytes(segment) + chunk.recordBytes[i]!;
  }

  #locationOf(slot: number): Location {
    const chunk = this.#chunk(slot);
    const i = slot & CHUNK_MASK;
    return {
      segment: chunk.segment[i]!,
      offset: chunk.offset[i]!,
      recordBytes: chunk.recordBytes[i]!,
      valueBytes: chunk.valueBytes[i]!,
      revision: chunk.revision[i]!,
    };
  }
}

const CHUNK_SHIFT = 11;
const CHUNK_SLOTS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_SLOTS - 1;
const TABLES = 256;
const TABLE_SHIFT = 24;
const TABLE_CELLS_MIN = 16;
/** No segment: a slot whose key is absent. */
const NOWHERE = 0xffff_ffff;

class Columns {
  readonly revision = new Float64Array(CHUNK_SLOTS);
  readonly segment = new Uint32Array(CHUNK_SLOTS);
  readonly offset = new Uint32Array(CHUNK_SLOTS);
  readonly recordBytes = new Uint32Array(CHUNK_SLOTS);
  readonly valueBytes = new Uint32Array(CHUNK_SLOTS);
  readonly key = new Uint32Array(CHUNK_SLOTS);
  readonly keyBytes = new Uint16Array(CHUNK_SLOTS);
}

/** For keys that come as strings: written to at once, and read before anybody else can. */
const scratch = byteBlock(4_096);

/** A longer one than any key there is, cut off, is not found either. */
function encodeKey(key: string): number {
  return scratch.bytes.write(key, 0, 'utf8');
}
