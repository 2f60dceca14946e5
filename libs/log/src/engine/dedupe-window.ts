import { ByteFifo } from './byte-fifo.js';
import { equalBytes, hashBytes } from './byte-hash.js';
import { END, OTHER, ProbeTable } from './probe-table.js';
import { HASH_BYTES } from './record-layout.js';
import type { RecordView } from './record-view.js';

/**
 * The newest appends by request id, bounded by count and by age: what a repeat of each must be answered with. Rebuilt from the records at
 * start, since each record holds all of it; so it survives a restart.
 *
 * Age is counted on the monotonic clock, so that a step of the wall clock between a write and its repeat forgets nothing. What was replayed
 * has only the wall time in its record: its age at the open is taken from that, and never below 0.
 *
 * An entry is a number, good until the next `add`. Entries lie in columns, in a ring; about 100 bytes each with an id of 36 characters, and nothing in it
 * for the garbage collector to visit.
 */
export class DedupeWindow {
  readonly #countMax: number;
  readonly #ageMsMax: number;
  readonly #byId = new ProbeTable(1_024);
  readonly #ids = new ByteFifo();
  #columns = new Columns(RING_MIN);
  /** Oldest; the entries from here on, `#count` of them, are in use. */
  #first = 0;
  #count = 0;
  /** Means nothing; but what is touched has to go somewhere. */
  #touched = 0;

  constructor(options: { countMax: number; ageMsMax: number }) {
    this.#countMax = options.countMax;
    this.#ageMsMax = options.ageMsMax;
  }

  get size(): number {
    return this.#byId.size;
  }

  /**
   * The entry of the request id that lies in the view; undefined when there is none, AGED when it is older than the window by this time.
   *
   * @param hash of the id, by `hashBytes`
   */
  get(view: DataView, start: number, length: number, hash: number, nowMs: number): number | undefined {
    const entry = this.#find(view, start, length, hash);
    return entry === undefined || nowMs - this.#columns.atMs[entry]! <= this.#ageMsMax ? entry : AGED;
  }

  /** As `ProbeTable.touch`. */
  touch(hash: number): void {
    this.#touched ^= this.#byId.touch(hash);
  }

  /** What the mutation with a record's request id has for a revision, while it is in the window. */
  revisionFor({ view, requestIdStart, requestIdBytes }: RecordView, nowMs: number): number | undefined {
    const entry = this.get(view, requestIdStart, requestIdBytes, hashBytes(view, requestIdStart, requestIdBytes), nowMs);
    return entry === undefined || entry === AGED ? undefined : this.revisionOf(entry);
  }

  /** Of all mutations in the window; Infinity when there is none. */
  get oldestRevision(): number {
    return this.#count === 0 ? Infinity : this.#columns.revision[this.#first]!;
  }

  revisionOf(entry: number): number {
    return this.#columns.revision[entry]!;
  }

  existed(entry: number): boolean {
    return this.#columns.existed[entry] !== 0;
  }

  /** Whether its payload has the hash that lies in the view. */
  hasPayload(entry: number, view: DataView, hashStart: number): boolean {
    const { payload } = this.#columns;
    let same = true;
    for (let i = 0; i < HASH_WORDS; i++) same &&= payload[entry * HASH_WORDS + i] === view.getInt32(hashStart + i * 4);
    return same;
  }

  /**
   * Copies what it keeps. An id that is there already, because it was used again after its time, is from now on this one.
   *
   * @param payload where the 16 bytes of its payload hash lie in the view
   * @param isNew `get` found nothing, not even one that is too old
   * @param atMs when it was added, on the clock's `nowMs`. For one that was replayed: as long before the open as the wall clock says, if that can be
   */
  add(
    view: DataView,
    start: number,
    length: number,
    hash: number,
    payload: number,
    revision: number,
    existed: boolean,
    atMs: number,
    isNew = false,
  ): void {
    if (this.#countMax === 0) return;
    if (this.#count >= this.#countMax) this.makeRoom(1, atMs);
    const older = isNew ? undefined : this.#find(view, start, length, hash);
    if (older !== undefined) this.#byId.remove(hash, older);
    if (this.#count === this.#columns.length) this.#grow();
    const columns = this.#columns;
    const entry = (this.#first + this.#count++) & columns.mask;
    columns.place[entry] = this.#ids.add(view, start, length);
    columns.idBytes[entry] = length;
    columns.hash[entry] = hash;
    columns.revision[entry] = revision;
    columns.existed[entry] = existed ? 1 : 0;
    columns.atMs[entry] = atMs;
    for (let i = 0; i < HASH_WORDS; i++) columns.payload[entry * HASH_WORDS + i] = view.getInt32(payload + i * 4);
    this.#byId.add(hash, entry);
  }

  /** Drops what so many more push out, and what is too old: two for each one that comes, so that an old window drains without a pause. */
  makeRoom(count: number, nowMs: number): void {
    while (this.#count > 0 && this.#count + count > this.#countMax) this.#dropFirst();
    for (let dropped = 0; dropped < count * 2 && this.#firstIsAged(nowMs); dropped++) this.#dropFirst();
  }

  #find(view: DataView, start: number, length: number, hash: number): number | undefined {
    const table = this.#byId;
    const { idBytes, place } = this.#columns;
    for (let cell = table.first(hash), entry; (entry = table.at(cell, hash)) !== END; cell = table.next(cell)) {
      if (entry === OTHER || idBytes[entry] !== length) continue;
      const at = place[entry]!;
      if (equalBytes(this.#ids.chunkOf(at).view, this.#ids.offsetOf(at), view, start, length)) return entry;
    }
    return undefined;
  }

  #firstIsAged(nowMs: number): boolean {
    return this.#count > 0 && nowMs - this.#columns.atMs[this.#first]! > this.#ageMsMax;
  }

  #dropFirst(): void {
    this.touch(this.#columns.hash[(this.#first + TOUCHED_AHEAD) & this.#columns.mask]!);
    // Does nothing for an id that was used again after its time: that has a newer entry.
    this.#byId.remove(this.#columns.hash[this.#first]!, this.#first);
    this.#first = (this.#first + 1) & this.#columns.mask;
    if (--this.#count > 0) this.#ids.release(this.#columns.place[this.#first]!);
  }

  /** Entries keep their numbers only while the ring has its length, so the table is filled anew. */
  #grow(): void {
    const before = this.#columns;
    const columns = new Columns(before.length * 2);
    for (let i = 0; i < this.#count; i++) columns.take(i, before, (this.#first + i) & before.mask);
    this.#columns = columns;
    this.#first = 0;
    this.#byId.clear();
    for (let entry = 0; entry < this.#count; entry++) {
      const at = columns.place[entry]!;
      const { view } = this.#ids.chunkOf(at);
      const offset = this.#ids.offsetOf(at);
      const hash = columns.hash[entry]!;
      const older = this.#find(view, offset, columns.idBytes[entry]!, hash);
      if (older !== undefined) this.#byId.remove(hash, older);
      this.#byId.add(hash, entry);
    }
  }
}

class Columns {
  readonly place: Uint32Array;
  readonly revision: Float64Array;
  readonly atMs: Float64Array;
  readonly hash: Int32Array;
  readonly idBytes: Uint8Array;
  readonly existed: Uint8Array;
  readonly payload: Int32Array;

  readonly length: number;
  readonly mask: number;

  /** @param length a power of two, so that an entry is found without a division */
  constructor(length: number) {
    this.length = length;
    this.mask = length - 1;
    this.place = new Uint32Array(length);
    this.revision = new Float64Array(length);
    this.atMs = new Float64Array(length);
    this.hash = new Int32Array(length);
    this.idBytes = new Uint8Array(length);
    this.existed = new Uint8Array(length);
    this.payload = new Int32Array(length * HASH_WORDS);
  }

  take(entry: number, from: Columns, other: number): void {
    this.place[entry] = from.place[other]!;
    this.revision[entry] = from.revision[other]!;
    this.atMs[entry] = from.atMs[other]!;
    this.hash[entry] = from.hash[other]!;
    this.idBytes[entry] = from.idBytes[other]!;
    this.existed[entry] = from.existed[other]!;
    for (let i = 0; i < HASH_WORDS; i++) this.payload[entry * HASH_WORDS + i] = from.payload[other * HASH_WORDS + i]!;
  }
}

export const AGED = -1;
const RING_MIN = 256;
const TOUCHED_AHEAD = 8;
const HASH_WORDS = HASH_BYTES / 4;
