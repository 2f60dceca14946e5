import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { CommitThread } from './commit-thread.js';
import { NOT_WHOLE, damageError, laterWriteError } from './damage.js';
import { assertNextSegment, listSegments, saveTornBytes, tornNames } from './directory.js';
import type { FileSystem } from './file-system.js';
import { isNoSpace, readFully, writeFully } from './file-system.js';
import { HistoryCheck } from './history-check.js';
import type { OpenedSegment } from './open-segment.js';
import { openSegment } from './open-segment.js';
import { KIND_DELETE, KIND_SEAL, KIND_TRACE, ROOM_BYTE } from './record-layout.js';
import type { RecordView } from './record-view.js';
import { SegmentEnd } from './segment-end.js';
import { SEGMENT_HEADER_BYTES, SKIPPED_REVISIONS } from './segment-header.js';
import type { ScanResult } from './segment-scan.js';
import { findLaterBatch, isRoom, scanSegment } from './segment-scan.js';
import type { Segment } from './segment.js';
import { SegmentStore } from './segment-store.js';
import { emptyTally } from './segment.js';

export interface ReplayOptions {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly partition: number;
  /** Bytes to write ahead of batches, from now on. */
  readonly roomBytes: number;
  /** So many batches from now on a thread commits them. */
  readonly commitThreadAfter: number;
  readonly wallMs: () => number;
  readonly nowMs: () => number;
  /** Before the first record: that many mutations at least were written after the newest of this revision. */
  readonly onSegments?: (headMin: number) => void;
  /** Every mutation, oldest first. The view is only valid inside the call. */
  readonly onRecord: (record: RecordView, segment: number, offset: number, atMs: number) => void;
  /** What an instant of the wall clock, in a record, is on the clock's `nowMs`. */
  readonly atMsOf: (wallMs: number) => number;
  /** What a person should know although the log is in order: a torn tail that was cut. */
  readonly onWarning: (message: string) => void;
}

export interface Replayed {
  readonly store: SegmentStore;
  readonly incarnation: string;
  /** Revision of the newest mutation, or of the last that was left out after it; 0 in a new log. */
  readonly head: number;
  /** The newest record is a seal, or there is none: nothing after the last sync is in doubt. */
  readonly sealed: boolean;
}

/**
 * Opens the segments of a directory, reads and checks every byte of them, and makes the first one in an empty directory. On return all
 * that was shown is on stable storage.
 *
 * A tail that a crash tore is cut from the newest segment, and the cut bytes are saved aside first. Any other damage is an error that
 * names file and offset, and nothing is changed.
 *
 * @throws INTERNAL on damage, UNAVAILABLE when the directory holds something else
 */
export async function replay(options: ReplayOptions): Promise<Replayed> {
  const { fileSystem, directory, partition } = options;
  const listed = await listSegments(fileSystem, directory);
  if (listed.length === 0) return createLog(options);
  const check = new HistoryCheck(directory, partition);
  const segments: Segment[] = [];
  const leftovers: Segment[] = [];
  const opened: Array<OpenedSegment & { readonly path: string; readonly firstRevision: number }> = [];
  let last: ScanResult | undefined;
  let tail: TornTail | undefined;
  let roomEnd = 0;
  try {
    assertNextSegment(directory, listed[0]!.firstRevision, 1);
    for (const name of listed) opened.push({ ...name, ...(await openSegment(fileSystem, name.path)) });
    // What the head was when a segment was compacted: it rests on mutations up to there.
    const seen = opened.reduce((max, { header }) => Math.max(max, header.compacted?.cleanThrough ?? 0), 0);
    const isGone = () => seen > check.head && seen !== check.head + SKIPPED_REVISIONS;
    const leftOut = opened.reduce((sum, { header }) => sum + header.skips * SKIPPED_REVISIONS, 0);
    options.onSegments?.(listed.at(-1)!.firstRevision - 1 - leftOut);
    for (const [index, { path, firstRevision, reader, header }] of opened.entries()) {
      const newest = index === listed.length - 1;
      const { seed, skips, compacted } = header;
      const length = await reader.size();
      const segment: Segment = { id: segments.length, path, firstRevision, seed, reader, skips, compacted, length, tally: emptyTally() };
      if (check.isLeftover(path, firstRevision, header, newest)) {
        leftovers.push(segment);
        continue;
      }
      check.beginSegment(path, firstRevision, header);
      segments.push(segment);
      last = await replaySegment(options, segment, check);
      if (newest && last.wholeEnd < length && (await isRoom(reader, last.wholeEnd, length))) {
        roomEnd = length;
        segment.length = last.wholeEnd;
      }
      if (last.wholeEnd < segment.length && newest && isGone())
        throw damageError(path, last.wholeEnd, `${NOT_WHOLE}, and a segment was compacted after revision ${seen} had been durable`);
      if (last.wholeEnd < segment.length) tail = await cutTornTail(options, segment, last, newest);
      check.endSegment(last.wholeEnd);
    }
    check.end();
    const incarnation = check.incarnation!;
    const writer = await fileSystem.open(segments.at(-1)!.path, 'write');
    if (isGone())
      options.onWarning(`the log in ${directory} ends at revision ${check.head}; it ended at ${seen} when a segment was compacted`);
    const cut = tail !== undefined || !last!.batchEnd || (await wasCut(fileSystem, directory, segments.at(-1)!));
    const skips = cut || seen > check.head;
    const store = storeOf(options, incarnation, { segments, writer, last: last!, skips, cutTail: tail?.cut }, roomEnd);
    // A process that was killed may have written what was never synced; nobody may read it before it is.
    await writer.sync();
    await fileSystem.syncDirectory(directory);
    // Only now is it durable what stands in their place.
    for (const { path } of leftovers) await fileSystem.remove(path);
    for (const { reader } of leftovers) await reader.close();
    return { store, incarnation, head: check.head + (skips ? SKIPPED_REVISIONS : 0), sealed: check.sealed };
  } catch (error) {
    for (const { reader } of opened) await reader.close().catch(() => undefined);
    throw error;
  }
}

async function createLog(options: ReplayOptions): Promise<Replayed> {
  const incarnation = randomBytes(8).toString('hex');
  const store = storeOf(options, incarnation, { segments: [], writer: undefined, last: { batch: 0, batchEnd: true }, skips: false });
  await store.rotate(1, options.wallMs());
  return { store, incarnation, head: 0, sealed: true };
}

function storeOf(
  options: ReplayOptions,
  incarnation: string,
  parts: Pick<ConstructorParameters<typeof SegmentStore>[0], 'segments' | 'writer' | 'last' | 'skips' | 'cutTail'>,
  roomEnd = 0,
): SegmentStore {
  const { fileSystem, directory, partition, roomBytes, commitThreadAfter, nowMs } = options;
  const thread = fileSystem.unwatched ? new CommitThread(commitThreadAfter) : undefined;
  const end = new SegmentEnd({ roomBytes, roomEnd, thread, nowMs });
  return new SegmentStore({ fileSystem, directory, header: { incarnation, partition }, end, ...parts });
}

/** Shows the segment's records, and holds each against the one before it. */
function replaySegment({ onRecord, atMsOf }: ReplayOptions, segment: Segment, check: HistoryCheck): Promise<ScanResult> {
  const { id, tally } = segment;
  return scanSegment(segment.reader, SEGMENT_HEADER_BYTES, segment.length, segment.seed, (record, offset) => {
    check.record(record, offset);
    const { kind } = record;
    if (kind === KIND_SEAL) return;
    const atMs = atMsOf(record.wallMs);
    tally.records++;
    tally.newestAtMs = Math.max(tally.newestAtMs, atMs);
    if (kind === KIND_DELETE) tally.tombstoneBytes += record.length;
    else if (kind === KIND_TRACE) tally.traceBytes += record.length;
    onRecord(record, id, offset, atMs);
  });
}

interface TornTail {
  /** Still to be done before anything is written, when a full disk does not let the cut bytes be saved. */
  readonly cut: (() => Promise<void>) | undefined;
}

async function cutTornTail(options: ReplayOptions, segment: Segment, scan: ScanResult, newest: boolean): Promise<TornTail> {
  const { path, length, reader, seed } = segment;
  const { wholeEnd, batch, batchEnd } = scan;
  if (!newest) throw damageError(path, wholeEnd, `${NOT_WHOLE}, and later segments follow`);
  const later = await findLaterBatch(reader, wholeEnd, length, seed, batchEnd ? batch + 1 : batch);
  if (later !== undefined) throw laterWriteError(path, wholeEnd, later);
  segment.length = wholeEnd;
  try {
    await saveAndCut(options, segment, length);
    return { cut: undefined };
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    options.onWarning(
      `${path} ends in an unfinished write: ${length - wholeEnd} bytes from offset ${wholeEnd}. No space is left to save them aside, so they stay until the next append`,
    );
    return { cut: () => saveAndCut(options, segment, length) };
  }
}

async function saveAndCut(options: ReplayOptions, segment: Segment, length: number): Promise<void> {
  const { fileSystem, directory, onWarning } = options;
  const { path, length: wholeEnd } = segment;
  const name = `${tornPrefix(segment)}${options.wallMs()}`;
  const saved = await saveTornBytes(fileSystem, directory, name, (target) => copyBytes(fileSystem, segment, length, target));
  const writer = await fileSystem.open(path, 'write');
  try {
    await writer.truncate(wholeEnd);
    await writer.sync();
  } finally {
    await writer.close();
  }
  onWarning(`${path} ended in an unfinished write: ${length - wholeEnd} bytes from offset ${wholeEnd} were cut off and saved as ${saved}`);
}

/** The newest segment lost a tail at its end, and nothing was written since: an open got no further than that. */
async function wasCut(fileSystem: FileSystem, directory: string, segment: Segment): Promise<boolean> {
  const names = await tornNames(fileSystem, directory);
  return names.some((name) => name.startsWith(tornPrefix(segment)));
}

/** Of the names of files with what was cut off the segment where it ends now. */
function tornPrefix({ path, length }: Segment): string {
  return `${basename(path, '.segment')}-${length}-`;
}

/** What lies behind the segment's end, up to `length`. On a disk too full for all of it, without the room at its end, and with the zeros before that as a hole. */
async function copyBytes(fileSystem: FileSystem, segment: Segment, length: number, target: string): Promise<void> {
  const bytes = Buffer.allocUnsafeSlow(length - segment.length);
  const filled = await readFully(segment.reader, bytes, 0, bytes.length, segment.length);
  try {
    await createFile(fileSystem, target, bytes, filled, filled);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    // By chance the torn record itself may end in such bytes: whoever wants them knows what they were.
    let kept = filled;
    while (kept > 0 && bytes[kept - 1] === ROOM_BYTE) kept--;
    let end = kept;
    while (end > 0 && bytes[end - 1] === 0) end--;
    if (end === filled) throw error;
    await createFile(fileSystem, target, bytes, end, kept);
  }
}

/** A durable file of `end` of the bytes, and zeros up to `size`. */
async function createFile(fileSystem: FileSystem, target: string, bytes: Buffer, end: number, size: number): Promise<void> {
  const file = await fileSystem.open(target, 'create');
  try {
    await writeFully(file, bytes, end, 0);
    if (end < size) await file.truncate(size);
    await file.sync();
  } catch (error) {
    // Half a copy is of no use, and a full disk needs the space.
    await fileSystem.remove(target).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}
