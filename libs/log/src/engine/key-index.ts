import { createRequire } from 'node:module';
import type BTreeClass from 'sorted-btree';
import { compareUnits, compareUtf8, needsCodePointOrder } from './key-order.js';

// The package is CommonJS with an `exports.default`, which Node and bundlers unwrap differently when it is imported.
const { default: BTree } = createRequire(import.meta.url)('sorted-btree') as { default: typeof BTreeClass.default };
type Tree = BTreeClass.default<string, number>;

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
 * Every key that is present, in the order of UTF-8 bytes. Locations are columns of numbers, one slot a key, and the tree holds slot
 * numbers: about 90 bytes a key of 24 bytes, of which the garbage collector sees two pointers.
 */
export class KeyIndex {
  readonly #tree: Tree;
  #segment = new Uint32Array(SLOTS_MIN);
  #offset = new Uint32Array(SLOTS_MIN);
  #recordBytes = new Uint32Array(SLOTS_MIN);
  #valueBytes = new Uint32Array(SLOTS_MIN);
  #revision = new Float64Array(SLOTS_MIN);
  #slots = 0;
  readonly #free: number[] = [];
  /** By segment id: records of puts that a later mutation superseded. */
  readonly #deadBytes: number[] = [];
  #valueBytesTotal = 0;
  #byCodePoint = false;

  constructor() {
    // One key with a high unit makes comparing by units wrong between that key and the next such; before, the two orders agree.
    this.#tree = new BTree<string, number>(undefined, (a, b) => (this.#byCodePoint ? compareUtf8(a, b) : compareUnits(a, b)), 64);
  }

  /** Keys present. */
  get size(): number {
    return this.#tree.size;
  }

  /** Of the values of all present keys. */
  get valueBytesTotal(): number {
    return this.#valueBytesTotal;
  }

  get(key: string): Location | undefined {
    const slot = this.#tree.get(key);
    return slot === undefined ? undefined : this.#locationOf(slot);
  }

  /** Of the key's entry; 0 when it is absent. */
  revisionOf(key: string): number {
    const slot = this.#tree.get(key);
    return slot === undefined ? 0 : this.#revision[slot]!;
  }

  /** @param key kept as it is: give a string that does not hang on to a larger one */
  set(key: string, segment: number, offset: number, recordBytes: number, valueBytes: number, revision: number): void {
    let slot = this.#tree.get(key);
    if (slot === undefined) {
      if (!this.#byCodePoint && needsCodePointOrder(key)) this.#byCodePoint = true;
      slot = this.#free.pop() ?? this.#newSlot();
      this.#tree.set(key, slot);
    } else this.#supersede(slot);
    this.#segment[slot] = segment;
    this.#offset[slot] = offset;
    this.#recordBytes[slot] = recordBytes;
    this.#valueBytes[slot] = valueBytes;
    this.#revision[slot] = revision;
    this.#valueBytesTotal += valueBytes;
  }

  delete(key: string): void {
    const slot = this.#tree.get(key);
    if (slot === undefined) return;
    this.#tree.delete(key);
    this.#supersede(slot);
    this.#segment[slot] = NOWHERE;
    this.#free.push(slot);
  }

  /** Bytes of the segment's records that hold entries no more. */
  deadBytes(segment: number): number {
    return this.#deadBytes[segment] ?? 0;
  }

  /** Before a segment's id is used for another. */
  forgetDeadBytes(segment: number): void {
    this.#deadBytes[segment] = 0;
  }

  /** Where the key's location is kept, for `move`; undefined unless its entry is of this revision. */
  slotOf(key: string, revision: number): number | undefined {
    const slot = this.#tree.get(key);
    return slot !== undefined && this.#revision[slot] === revision ? slot : undefined;
  }

  /**
   * A record was copied to another segment: its entry is read from there from now on. When it was superseded since `slotOf`, the copy counts as
   * dead. @param recordBytes of the copy
   */
  move(slot: number, from: { segment: number; offset: number }, to: { segment: number; offset: number }, recordBytes: number): void {
    if (this.#segment[slot] === from.segment && this.#offset[slot] === from.offset) {
      this.#segment[slot] = to.segment;
      this.#offset[slot] = to.offset;
    } else this.#deadBytes[to.segment] = this.deadBytes(to.segment) + recordBytes;
  }

  /**
   * Visits the keys that begin with `prefix` and sort after `after`, in order, until `visit` answers false. The index must not change
   * meanwhile.
   */
  scan(prefix: string, after: string | undefined, visit: (key: string, location: Location) => boolean): void {
    const from = after === undefined || compareUtf8(after, prefix) < 0 ? prefix : after;
    for (const [key, slot] of this.#tree.entries(from, [])) {
      if (key === after) continue;
      if (!key.startsWith(prefix)) return;
      if (!visit(key, this.#locationOf(slot))) return;
    }
  }

  #supersede(slot: number): void {
    this.#valueBytesTotal -= this.#valueBytes[slot]!;
    const segment = this.#segment[slot]!;
    this.#deadBytes[segment] = this.deadBytes(segment) + this.#recordBytes[slot]!;
  }

  #locationOf(slot: number): Location {
    return {
      segment: this.#segment[slot]!,
      offset: this.#offset[slot]!,
      recordBytes: this.#recordBytes[slot]!,
      valueBytes: this.#valueBytes[slot]!,
      revision: this.#revision[slot]!,
    };
  }

  #newSlot(): number {
    if (this.#slots === this.#segment.length) {
      const slots = Math.ceil(this.#slots * 1.5);
      this.#segment = grown(this.#segment, new Uint32Array(slots));
      this.#offset = grown(this.#offset, new Uint32Array(slots));
      this.#recordBytes = grown(this.#recordBytes, new Uint32Array(slots));
      this.#valueBytes = grown(this.#valueBytes, new Uint32Array(slots));
      this.#revision = grown(this.#revision, new Float64Array(slots));
    }
    return this.#slots++;
  }
}

const SLOTS_MIN = 1_024;
/** No segment: a slot that is free. */
const NOWHERE = 0xffff_ffff;

function grown<Column extends Uint32Array | Float64Array>(from: Column, to: Column): Column {
  to.set(from);
  return to;
}
