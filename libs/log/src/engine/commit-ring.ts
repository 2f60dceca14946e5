import type { Commit } from '../log.port.js';
import { ByteFifo } from './byte-fifo.js';

/**
 * The newest commits, so that a reader that missed some can catch up. Bounded: a reader further behind starts afresh. Keys are kept as bytes, and made into
 * strings when somebody asks: hardly anybody does, and every append would pay for it.
 */
export class CommitRing {
  readonly #capacity: number;
  readonly #keys = new ByteFifo();
  /** Revisions of one partition have no holes, so a commit's place follows from its revision. */
  #columns: Columns;
  #oldest: number;
  #head: number;

  /** @param head the revision before that of the first commit pushed */
  constructor(capacity: number, head: number) {
    this.#capacity = Math.max(1, capacity);
    this.#columns = new Columns(RING_MIN);
    this.#oldest = head;
    this.#head = head;
  }

  /** Revision of the newest commit. */
  get head(): number {
    return this.#head;
  }

  /** When its predecessor is not the head, what came between was removed by compaction: nobody catches up from before it. */
  push(view: DataView, keyStart: number, keyBytes: number, revision: number, deleted: boolean): void {
    this.skipTo(revision - 1);
    if (this.#head - this.#oldest === this.#columns.length && this.#columns.length < this.#capacity) this.#grow();
    const columns = this.#columns;
    const place = revision & columns.mask;
    columns.key[place] = this.#keys.add(view, keyStart, keyBytes);
    columns.keyBytes[place] = keyBytes;
    columns.deleted[place] = deleted ? 1 : 0;
    this.#head = revision;
    this.#oldest = Math.max(this.#oldest, revision - Math.min(columns.length, this.#capacity));
    this.#keys.release(columns.key[(this.#oldest + 1) & columns.mask]!);
  }

  /** Commits up to this revision, if they are not here, are forgotten for good. */
  skipTo(revision: number): void {
    if (revision <= this.#head) return;
    this.#head = revision;
    this.#oldest = revision;
  }

  /** The commits after a revision, oldest first, as many as both bounds allow but at least one; undefined when some are forgotten. */
  after(revision: number, countMax: number, charsMax: number): Commit[] | undefined {
    if (revision < this.#oldest || revision > this.#head) return undefined;
    const page: Commit[] = [];
    let chars = 0;
    for (let next = revision + 1; next <= this.#head && page.length < countMax && chars < charsMax; next++) {
      const commit = this.#commitOf(next);
      page.push(commit);
      chars += commit.key.length + ENTRY_CHARS;
    }
    return page;
  }

  #commitOf(revision: number): Commit {
    const { key, keyBytes, deleted } = this.#columns;
    const place = revision & this.#columns.mask;
    const start = this.#keys.offsetOf(key[place]!);
    return {
      key: this.#keys.chunkOf(key[place]!).bytes.toString('utf8', start, start + keyBytes[place]!),
      revision,
      previous: revision - 1,
      deleted: deleted[place] !== 0,
    };
  }

  #grow(): void {
    const before = this.#columns;
    const columns = new Columns(before.length * 2);
    for (let revision = this.#oldest + 1; revision <= this.#head; revision++) {
      const from = revision & before.mask;
      const to = revision & columns.mask;
      columns.key[to] = before.key[from]!;
      columns.keyBytes[to] = before.keyBytes[from]!;
      columns.deleted[to] = before.deleted[from]!;
    }
    this.#columns = columns;
  }
}

class Columns {
  readonly key: Uint32Array;
  readonly keyBytes: Uint16Array;
  readonly deleted: Uint8Array;

  readonly length: number;
  readonly mask: number;

  /** @param length a power of two, so that a place is found without a division */
  constructor(length: number) {
    this.length = length;
    this.mask = length - 1;
    this.key = new Uint32Array(length);
    this.keyBytes = new Uint16Array(length);
    this.deleted = new Uint8Array(length);
  }
}

const RING_MIN = 256;

/**
 * A page of commits or keys stays below the bound of a message (1,048,000 bytes), even if every unit of its keys takes six bytes, as an escaped
 * one does in JSON.
 */
export const PAGE_CHARS_MAX = 160_000;
/** What an entry of a page takes besides its key, in the same measure. */
export const ENTRY_CHARS = 15;
