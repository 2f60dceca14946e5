import type { Clock } from '@diptych/kernel';
import { damageError } from './damage.js';
import type { DedupeWindow } from './dedupe-window.js';
import type { FileSystem } from './file-system.js';
import type { KeyIndex } from './key-index.js';
import { KIND_DELETE, KIND_PUT, KIND_SEAL, KIND_TRACE } from './record-layout.js';
import type { RecordView } from './record-view.js';
import { SEGMENT_HEADER_BYTES } from './segment-header.js';
import type { CompactedHeader } from './segment-header.js';
import { scanSegment } from './segment-scan.js';
import { SegmentWriter } from './segment-writer.js';
import type { SegmentStore } from './segment-store.js';
import type { Segment, SegmentTally } from './segment.js';
import { emptyTally } from './segment.js';

export interface CompactionOptions {
  readonly fileSystem: FileSystem;
  readonly store: SegmentStore;
  readonly index: KeyIndex;
  readonly dedupe: DedupeWindow;
  readonly clock: Clock;
  readonly head: () => number;
  /** Awaited after each window, with the bytes it took to read and to write: waits as long as the rate asks for. Throws to end it. */
  readonly pace: (bytes: number) => Promise<void>;
}

/** A copy that is complete and on stable storage, and not yet part of the log. */
export interface Rewritten {
  readonly writer: SegmentWriter;
  readonly skips: number;
  readonly compacted: CompactedHeader;
  readonly tally: SegmentTally;
  readonly moves: Moves;
}

/**
 * Copies what still counts of adjacent segments into a file of its own, and reads it back. Nothing of the log changes.
 *
 * What counts: the put that a key's entry was written by; a tombstone, while an older segment may hold a put that it deletes; and of every mutation in the
 * dedupe window what a repeat of it must be answered with.
 *
 * @param floor everything older than the run is clean through this revision: tombstones up to there delete nothing any more
 * @throws INTERNAL on damage, and what the file system or `pace` throws; then nothing is left behind
 */
export async function rewriteRun(run: readonly Segment[], floor: number, options: CompactionOptions): Promise<Rewritten> {
  const { fileSystem, store, clock } = options;
  const { path, firstRevision } = run[0]!;
  const compacted = {
    lastRevision: store.lastRevisionOf(run[run.length - 1]!),
    // Whatever a mutation up to here superseded is seen to be dead from now on.
    cleanThrough: options.head(),
    generation: Math.max(...run.map((segment) => segment.compacted?.generation ?? 0)) + 1,
  };
  const skips = run.reduce((sum, segment) => sum + segment.skips, 0);
  const header = { ...store.header, firstRevision, createdWallMs: clock.wallMs(), skips, compacted };
  const writer = await SegmentWriter.create(fileSystem, path, header);
  try {
    const tally = { ...emptyTally(), newestAtMs: Math.max(...run.map((segment) => segment.tally.newestAtMs)) };
    const moves = new Moves();
    for (const segment of run) await copySegment(segment, floor, writer, tally, moves, options);
    await writer.finish();
    await readBack(writer, tally.records, options);
    return { writer, skips, compacted, tally, moves };
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

async function copySegment(
  segment: Segment,
  floor: number,
  writer: SegmentWriter,
  tally: SegmentTally,
  moves: Moves,
  { index, dedupe, clock, pace }: CompactionOptions,
): Promise<void> {
  const { id, reader, path, seed, length } = segment;
  let nowMs = clock.nowMs();
  const copy = (record: RecordView, how: 'whole' | 'trace') => {
    const added = writer.add(record, how);
    tally.records++;
    return added;
  };
  const visit = (record: RecordView, offset: number) => {
    const { kind, revision } = record;
    if (kind === KIND_SEAL) return;
    const slot = kind === KIND_PUT ? index.slotOf(record.view, record.keyStart, record.keyBytes, revision) : undefined;
    if (slot !== undefined) return moves.push(slot, id, offset, copy(record, 'whole').offset, record.length);
    const remembered = dedupe.revisionFor(record, nowMs) === revision;
    if (kind === KIND_DELETE) {
      // A key that came back needs no tombstone from before it did.
      const deletes = revision > floor && !index.has(record.view, record.keyStart, record.keyBytes);
      if (remembered || deletes) tally.tombstoneBytes += copy(record, 'whole').length;
    } else if (remembered) tally.traceBytes += copy(record, kind === KIND_TRACE ? 'whole' : 'trace').length;
  };
  const { wholeEnd } = await scanSegment(reader, SEGMENT_HEADER_BYTES, length, seed, visit, {
    windowBytes: WINDOW_BYTES,
    async onWindow(bytes) {
      await writer.flush();
      await pace(bytes);
      nowMs = clock.nowMs();
    },
  });
  if (wholeEnd !== length) throw damageError(path, wholeEnd, 'compaction met what is no whole record (its length or checksum is wrong)');
}

/** What is about to replace good records is good. */
async function readBack({ file, path, seed, length }: SegmentWriter, records: number, { pace }: CompactionOptions): Promise<void> {
  let found = 0;
  const { wholeEnd } = await scanSegment(file, SEGMENT_HEADER_BYTES, length, seed, () => found++, {
    windowBytes: WINDOW_BYTES,
    onWindow: pace,
  });
  // The seal is one more.
  if (wholeEnd !== length || found !== records + 1)
    throw damageError(
      `${path}.new`,
      wholeEnd,
      'what compaction wrote there cannot be read back; the segments that it was to replace are unharmed',
    );
}

/** Which index slots point at records that were copied, from where, and to where. Columns, since there can be a million. */
export class Moves {
  #slots = new Uint32Array(MOVES_MIN);
  #segments = new Uint32Array(MOVES_MIN);
  #froms = new Uint32Array(MOVES_MIN);
  #tos = new Uint32Array(MOVES_MIN);
  #recordBytes = new Uint32Array(MOVES_MIN);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(slot: number, segment: number, from: number, to: number, recordBytes: number): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[this.#length] = slot;
    this.#segments[this.#length] = segment;
    this.#froms[this.#length] = from;
    this.#tos[this.#length] = to;
    this.#recordBytes[this.#length++] = recordBytes;
  }

  /** Entries whose record is still the one that was copied are read from the copy, in `segment`, from now on. */
  apply(index: KeyIndex, segment: number, first: number, end: number): void {
    for (let i = first; i < Math.min(end, this.#length); i++) {
      const from = { segment: this.#segments[i]!, offset: this.#froms[i]! };
      index.move(this.#slots[i]!, from, { segment, offset: this.#tos[i]! }, this.#recordBytes[i]!);
    }
  }

  #grow(): void {
    this.#slots = doubled(this.#slots);
    this.#segments = doubled(this.#segments);
    this.#froms = doubled(this.#froms);
    this.#tos = doubled(this.#tos);
    this.#recordBytes = doubled(this.#recordBytes);
  }
}

function doubled(column: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(column.length * 2);
  larger.set(column);
  return larger;
}

const MOVES_MIN = 1_024;
/** Small, because the records of a window are gone through in one go: about a quarter of a millisecond in which no append is taken. */
const WINDOW_BYTES = 64 * 1024;
