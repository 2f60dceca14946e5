import { basename, join } from 'node:path';
import { damageError } from './damage.js';
import { assertNextSegment, segmentName } from './directory.js';
import { KIND_SEAL } from './record-layout.js';
import type { RecordView } from './record-view.js';
import { SEGMENT_HEADER_BYTES, SKIPPED_REVISIONS } from './segment-header.js';
import type { SegmentHeader } from './segment-header.js';

/**
 * Holds every segment and every record of a log against the one before it: whatever reads a log (opening, verifying, copying) has the same idea of
 * what is in order. Every method throws INTERNAL that names file and offset.
 */
export class HistoryCheck {
  readonly #directory: string;
  readonly #partition: number | undefined;
  #header: SegmentHeader | undefined;
  #path = '';
  #incarnation: string | undefined;
  #head = 0;
  #batch = 0;
  #sealed = true;

  /** @param partition that the log has to be of; undefined: whichever it is of */
  constructor(directory: string, partition?: number) {
    this.#directory = directory;
    this.#partition = partition;
  }

  /** Of the newest mutation so far, whether or not it is still there. */
  get head(): number {
    return this.#head;
  }

  /** The newest record is a seal, or there is none. */
  get sealed(): boolean {
    return this.#sealed;
  }

  get incarnation(): string | undefined {
    return this.#incarnation;
  }

  get partition(): number | undefined {
    return this.#header?.partition;
  }

  /**
   * Whether a segment is what a crash left of a compaction: others were put together into one that stands for it too. Then it is no part of the
   * log. @param newest a segment that is written to is never compacted
   */
  isLeftover(path: string, firstRevision: number, header: SegmentHeader, newest: boolean): boolean {
    const compacted = this.#header?.compacted;
    if (!compacted || firstRevision > compacted.lastRevision) return false;
    this.#assertSegment(path, firstRevision, header);
    if (newest || (header.compacted?.lastRevision ?? 0) > compacted.lastRevision)
      throw damageError(path, 24, `the segment begins at revision ${firstRevision}, which ${basename(this.#path)} stands for already`);
    return true;
  }

  beginSegment(path: string, firstRevision: number, header: SegmentHeader): void {
    const skipped = header.skips > 0 && firstRevision === this.#head + 1 + SKIPPED_REVISIONS;
    if (!skipped) assertNextSegment(this.#directory, firstRevision, this.#head + 1);
    this.#head = firstRevision - 1;
    this.#assertSegment(path, firstRevision, header);
    if (header.compacted && header.compacted.lastRevision < header.firstRevision - 1)
      throw damageError(path, 40, `the segment ends at revision ${header.compacted.lastRevision}, before it begins`);
    this.#incarnation ??= header.incarnation;
    this.#header = header;
    this.#path = path;
    this.#batch = 0;
    if (header.compacted) this.#sealed = false;
  }

  /** As if all its records had been shown: to tell leftovers before anything is read. */
  skipSegment(path: string, firstRevision: number, header: SegmentHeader): void {
    // Where a plain segment ended is not known, but the one before it can have been compacted.
    if (firstRevision <= this.#head) this.#head = firstRevision - 1;
    this.beginSegment(path, firstRevision, header);
    // Where a plain segment ends, the next one's name says.
    this.#head = header.compacted?.lastRevision ?? Number.MAX_SAFE_INTEGER;
  }

  record(record: RecordView, offset: number): void {
    const { revision, previous, batch } = record;
    const seal = record.kind === KIND_SEAL;
    const lastRevision = this.#header?.compacted?.lastRevision;
    if (lastRevision !== undefined) this.#compactedRecord(record, offset, lastRevision);
    else {
      const expected = seal ? this.#head : this.#head + 1;
      if (revision !== expected)
        throw damageError(this.#path, offset, `the record has revision ${revision}, and ${expected} was to follow`);
      if (!seal && previous !== this.#head)
        throw damageError(this.#path, offset, `the record follows revision ${previous}, and stands after ${this.#head}`);
    }
    if (batch < this.#batch) throw damageError(this.#path, offset, `batch ${batch} stands after batch ${this.#batch}`);
    this.#batch = batch;
    this.#sealed = seal;
    this.#head = revision;
  }

  /** All records of the segment were shown. @param end where the last one ends */
  endSegment(end: number): void {
    if (this.#header?.compacted && (!this.#sealed || this.#head !== this.#header.compacted.lastRevision || end === SEGMENT_HEADER_BYTES))
      throw damageError(this.#path, end, 'the segment ends here, before its seal');
  }

  /** No segment follows. */
  end(): void {
    if (this.#header?.compacted)
      throw damageError(
        join(this.#directory, segmentName(this.#head + 1)),
        0,
        'the segment is missing; a compacted one is never the newest',
      );
  }

  /** Revisions have holes, each record is linked to the one that is left before it, and a seal ends it all. */
  #compactedRecord({ kind, revision, previous }: RecordView, offset: number, lastRevision: number): void {
    if (this.#sealed) throw damageError(this.#path, offset, 'a record stands after the seal of a compacted segment');
    if (previous !== this.#head)
      throw damageError(this.#path, offset, `the record follows revision ${previous}, and stands after ${this.#head}`);
    if (kind === KIND_SEAL ? revision !== lastRevision : revision <= this.#head || revision > lastRevision)
      throw damageError(this.#path, offset, `the record has revision ${revision}, after ${this.#head} in a segment up to ${lastRevision}`);
  }

  #assertSegment(path: string, firstRevision: number, { incarnation, partition, ...header }: SegmentHeader): void {
    const expected = this.#partition ?? this.#header?.partition ?? partition;
    if (incarnation !== (this.#incarnation ?? incarnation))
      throw damageError(path, 16, 'the segment is of another log (its incarnation differs)');
    if (partition !== expected) throw damageError(path, 12, `the segment is of partition ${partition}, not ${expected}`);
    if (header.firstRevision !== firstRevision) throw damageError(path, 24, `the segment begins at revision ${header.firstRevision}`);
  }
}
