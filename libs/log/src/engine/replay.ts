import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { damageError } from './damage.js';
import { assertNextSegment, listSegments, saveTornBytes } from './directory.js';
import type { File, FileSystem } from './file-system.js';
import { readFully, writeFully } from './file-system.js';
import type { RecordView } from './record.js';
import { KIND_SEAL } from './record.js';
import { SEGMENT_HEADER_BYTES, decodeSegmentHeader } from './segment-header.js';
import type { ScanResult } from './segment-scan.js';
import { findLaterBatch, scanSegment } from './segment-scan.js';
import type { Segment } from './segment-store.js';
import { SegmentStore } from './segment-store.js';

export interface ReplayOptions {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly partition: number;
  readonly wallMs: () => number;
  /** Every mutation, oldest first. The view is only valid inside the call. */
  readonly onRecord: (record: RecordView, segment: number, offset: number) => void;
  /** What a person should know although the log is in order: a torn tail that was cut. */
  readonly onWarning: (message: string) => void;
}

export interface Replayed {
  readonly store: SegmentStore;
  readonly incarnation: string;
  /** Revision of the newest mutation; 0 in a new log. */
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
  const state: ChainState = { head: listed[0]!.firstRevision - 1, sealed: true };
  assertNextSegment(directory, listed[0]!.firstRevision, 1);
  const segments: Segment[] = [];
  let incarnation: string | undefined;
  let last: ScanResult | undefined;
  try {
    for (const [index, { path, firstRevision }] of listed.entries()) {
      assertNextSegment(directory, firstRevision, state.head + 1);
      const reader = await fileSystem.open(path, 'read');
      const { seed, ...header } = await readHeader(reader, path);
      const segment: Segment = { path, firstRevision, seed, reader, length: await reader.size() };
      segments.push(segment);
      incarnation ??= header.incarnation;
      if (header.incarnation !== incarnation) throw damageError(path, 16, 'the segment is of another log (its incarnation differs)');
      if (header.partition !== partition) throw damageError(path, 12, `the segment is of partition ${header.partition}, not ${partition}`);
      if (header.firstRevision !== firstRevision) throw damageError(path, 24, `the segment begins at revision ${header.firstRevision}`);
      last = await replaySegment(options, segment, index, state);
      if (last.wholeEnd < segment.length) await cutTornTail(options, segment, last, index === listed.length - 1);
    }
    const writer = await fileSystem.open(segments.at(-1)!.path, 'write');
    const store = storeOf(options, incarnation!, segments, writer, last!);
    // A process that was killed may have written what was never synced; nobody may read it before it is.
    await writer.sync();
    await fileSystem.syncDirectory(directory);
    return { store, incarnation: incarnation!, head: state.head, sealed: state.sealed };
  } catch (error) {
    for (const { reader } of segments) await reader.close().catch(() => undefined);
    throw error;
  }
}

interface ChainState {
  head: number;
  sealed: boolean;
}

async function createLog(options: ReplayOptions): Promise<Replayed> {
  const incarnation = randomBytes(8).toString('hex');
  const store = storeOf(options, incarnation, [], undefined, { batch: 0, batchEnd: true });
  await store.rotate(1, options.wallMs());
  return { store, incarnation, head: 0, sealed: true };
}

function storeOf(
  options: ReplayOptions,
  incarnation: string,
  segments: Segment[],
  writer: File | undefined,
  last: Pick<ScanResult, 'batch' | 'batchEnd'>,
): SegmentStore {
  const { fileSystem, directory, partition } = options;
  return new SegmentStore({ fileSystem, directory, header: { incarnation, partition }, segments, writer, last });
}

async function readHeader(file: File, path: string) {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  const filled = await readFully(file, bytes, 0, bytes.length, 0);
  const header = decodeSegmentHeader(bytes.subarray(0, filled));
  if ('problem' in header) throw damageError(path, 0, header.problem);
  return header;
}

/** Shows the segment's records, and holds each against the one before it. */
function replaySegment(options: ReplayOptions, segment: Segment, index: number, state: ChainState): Promise<ScanResult> {
  let batch = 0;
  return scanSegment(segment.reader, SEGMENT_HEADER_BYTES, segment.length, segment.seed, (record, offset) => {
    const { revision, previous } = record;
    const expected = record.kind === KIND_SEAL ? state.head : state.head + 1;
    if (revision !== expected)
      throw damageError(segment.path, offset, `the record has revision ${revision}, and ${expected} was to follow`);
    if (record.kind !== KIND_SEAL && previous !== state.head)
      throw damageError(segment.path, offset, `the record follows revision ${previous}, and stands after ${state.head}`);
    if (record.batch < batch) throw damageError(segment.path, offset, `batch ${record.batch} stands after batch ${batch}`);
    ({ batch } = record);
    state.sealed = record.kind === KIND_SEAL;
    state.head = revision;
    if (record.kind !== KIND_SEAL) options.onRecord(record, index, offset);
  });
}

async function cutTornTail(options: ReplayOptions, segment: Segment, scan: ScanResult, newest: boolean): Promise<void> {
  const { path, length, reader, seed } = segment;
  const { wholeEnd, batch, batchEnd } = scan;
  const what = 'what stands there is no whole record (its length or checksum is wrong)';
  if (!newest) throw damageError(path, wholeEnd, `${what}, and later segments follow`);
  const later = await findLaterBatch(reader, wholeEnd, length, seed, batchEnd ? batch + 1 : batch);
  if (later !== undefined)
    throw damageError(path, wholeEnd, `${what}, and a later write, at offset ${later}, proves that it was durable once`);
  const name = `${basename(path, '.segment')}-${wholeEnd}-${options.wallMs()}`;
  const saved = await saveTornBytes(options.fileSystem, options.directory, name, (target) =>
    copyBytes(options.fileSystem, segment, wholeEnd, target),
  );
  const writer = await options.fileSystem.open(path, 'write');
  try {
    await writer.truncate(wholeEnd);
    await writer.sync();
  } finally {
    await writer.close();
  }
  segment.length = wholeEnd;
  options.onWarning(
    `${path} ended in an unfinished write: ${length - wholeEnd} bytes from offset ${wholeEnd} were cut off and saved as ${saved}`,
  );
}

async function copyBytes(fileSystem: FileSystem, segment: Segment, from: number, target: string): Promise<void> {
  const bytes = Buffer.allocUnsafeSlow(segment.length - from);
  const filled = await readFully(segment.reader, bytes, 0, bytes.length, from);
  const file = await fileSystem.open(target, 'create');
  try {
    await writeFully(file, bytes, filled, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}
