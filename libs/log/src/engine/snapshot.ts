import { DiptychError } from '@diptych/kernel';
import { NOT_WHOLE, damageError, laterWriteError } from './damage.js';
import { findSegments } from './directory.js';
import type { File, FileSystem } from './file-system.js';
import { errorCodeOf } from './file-system.js';
import { HistoryCheck } from './history-check.js';
import { openSegment } from './open-segment.js';
import type { RecordView } from './record-view.js';
import type { SegmentHeader } from './segment-header.js';
import { SEGMENT_HEADER_BYTES } from './segment-header.js';
import { findLaterBatch, isRoom, scanSegment } from './segment-scan.js';

export interface SnapshotSegment {
  readonly path: string;
  readonly reader: File;
  readonly header: SegmentHeader & { readonly seed: number };
  /** What is read of it. Of the newest: up to its last complete batch. */
  readonly end: number;
}

/** Bytes behind the last complete batch of the newest segment: a write under way, or what a crash left of one. Not acknowledged, so not damage. */
export interface UnfinishedWrite {
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
}

export interface Watching {
  /** Ends the work early. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A log as it was at one moment, from outside: without its lock, while another process may append to it and compact it.
 *
 * Sound because of two things. An open file stays as it was, whatever takes its name. And every state of the directory between two steps of rotation or
 * compaction is a complete log (a crash could leave it). So all segments are opened, then looked up again by name: if each name still stands
 * for the same file, there was a moment between at which all of them did (an atomic snapshot by double collect, Afek et al., "Atomic Snapshots of
 * Shared Memory", 1993). Otherwise it starts over; compaction takes much longer for a step than this does.
 */
export class Snapshot implements AsyncDisposable {
  readonly directory: string;
  readonly segments: readonly SnapshotSegment[];
  readonly unfinished: UnfinishedWrite | undefined;
  /** Names of segments that a crashed compaction left: no part of the log. */
  readonly leftovers: readonly string[];
  readonly #opened: readonly Opened[];

  private constructor(directory: string, opened: readonly Opened[], parts: Pick<Snapshot, 'segments' | 'unfinished' | 'leftovers'>) {
    this.directory = directory;
    this.#opened = opened;
    this.segments = parts.segments;
    this.unfinished = parts.unfinished;
    this.leftovers = parts.leftovers;
  }

  /** @throws UNAVAILABLE when there is no log or it cannot be read; INTERNAL with file and offset on damage to a header or to the end of the log */
  static async take(fileSystem: FileSystem, directory: string): Promise<Snapshot> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const opened = await openAll(fileSystem, directory);
      if (!opened) continue;
      try {
        if (await areSame(fileSystem, directory, opened)) return new Snapshot(directory, opened, await order(directory, opened));
      } catch (error) {
        await closeAll(opened);
        throw error;
      }
      await closeAll(opened);
    }
    throw new DiptychError(
      'UNAVAILABLE',
      `the segments in ${directory} were replaced ${ATTEMPTS_MAX} times while they were opened; try again`,
    );
  }

  /**
   * Shows every record, seals too, oldest first, and holds each against the one before it. `onWindow` is awaited every so often.
   *
   * @throws INTERNAL with file and offset at the first damage; what `signal` was aborted with
   */
  async read(
    visit: (record: RecordView, segment: SnapshotSegment, offset: number) => void,
    {
      signal,
      onSegment,
      onWindow,
    }: Watching & { onSegment?: (segment: SnapshotSegment) => Promise<void>; onWindow?: () => Promise<void> } = {},
  ): Promise<HistoryCheck> {
    const check = new HistoryCheck(this.directory);
    for (const segment of this.segments) {
      const { path, reader, header, end } = segment;
      check.beginSegment(path, header.firstRevision, header);
      await onSegment?.(segment);
      const show = (record: RecordView, offset: number) => {
        check.record(record, offset);
        visit(record, segment, offset);
      };
      const { wholeEnd } = await scanSegment(reader, SEGMENT_HEADER_BYTES, end, header.seed, show, {
        windowBytes: WINDOW_BYTES,
        async onWindow() {
          signal?.throwIfAborted();
          await onWindow?.();
        },
      });
      if (wholeEnd !== end) throw damageError(path, wholeEnd, NOT_WHOLE);
      check.endSegment(wholeEnd);
    }
    check.end();
    return check;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeAll(this.#opened);
  }
}

interface Opened {
  readonly path: string;
  readonly firstRevision: number;
  readonly reader: File;
  readonly header: SegmentHeader & { readonly seed: number };
  readonly size: number;
}

/**
 * Undefined when one was gone before it could be opened. Looks twice: a segment that was compacted right before it was opened leaves out what was superseded by
 * then, perhaps in a segment that was begun after the first look.
 */
async function openAll(fileSystem: FileSystem, directory: string): Promise<Opened[] | undefined> {
  const opened = new Map<string, Omit<Opened, 'size'>>();
  const all: Opened[] = [];
  try {
    for (const firstLook of [true, false]) {
      for (const { path, firstRevision } of await findSegments(fileSystem, directory)) {
        if (opened.has(path)) continue;
        const segment = await openSegment(fileSystem, path);
        opened.set(path, { path, firstRevision, ...segment });
        if (!firstLook && segment.header.compacted) return await closeAll(opened.values());
      }
    }
    // Not before now: the one that was the newest at first may have grown.
    for (const segment of opened.values()) all.push({ ...segment, size: await segment.reader.size() });
    return all;
  } catch (error) {
    await closeAll(opened.values());
    if (errorCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function areSame(fileSystem: FileSystem, directory: string, opened: readonly Opened[]): Promise<boolean> {
  const names = new Set((await findSegments(fileSystem, directory)).map(({ path }) => path));
  for (const { path, header } of opened) {
    if (!names.has(path)) return false;
    try {
      const now = await openSegment(fileSystem, path);
      await now.reader.close();
      if (!isSameSegment(now.header, header)) return false;
    } catch (error) {
      if (errorCodeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }
  return true;
}

/** Two files of one name have headers that differ in their generation at least. */
export function isSameSegment(a: SnapshotSegment['header'], b: SnapshotSegment['header']): boolean {
  return a.seed === b.seed && a.compacted?.generation === b.compacted?.generation && a.createdWallMs === b.createdWallMs;
}

/** Which of what was opened is part of the log, and where it ends. */
async function order(directory: string, opened: readonly Opened[]): Promise<Pick<Snapshot, 'segments' | 'unfinished' | 'leftovers'>> {
  const check = new HistoryCheck(directory);
  const segments: SnapshotSegment[] = [];
  const leftovers: string[] = [];
  let unfinished: UnfinishedWrite | undefined;
  for (const [index, { path, firstRevision, reader, header, size }] of opened.entries()) {
    const newest = index === opened.length - 1;
    if (check.isLeftover(path, firstRevision, header, newest)) {
      leftovers.push(path);
      continue;
    }
    // Its place in the chain is checked when the records are read; here only what is needed to tell leftovers.
    check.skipSegment(path, firstRevision, header);
    const { end, torn } = newest && !header.compacted ? await completeEnd(path, reader, header.seed, size) : { end: size, torn: false };
    segments.push({ path, reader, header, end });
    if (torn) unfinished = { path, offset: end, bytes: size - end };
  }
  return { segments, leftovers, unfinished };
}

/**
 * Where the last complete batch ends, and whether what stands behind it is anything but room. Whoever writes to the log may fill its room meanwhile, so what
 * is not whole counts only if it is not when it is looked at again.
 *
 * @throws INTERNAL when what stands behind it proves that it was durable once
 */
async function completeEnd(path: string, reader: File, seed: number, size: number): Promise<{ end: number; torn: boolean }> {
  let end = SEGMENT_HEADER_BYTES;
  let from = SEGMENT_HEADER_BYTES;
  let last = { batch: 0, batchEnd: true };
  let later: number | undefined;
  for (let again = false; ; again = true) {
    const { wholeEnd } = await scanSegment(reader, from, size, seed, (record, offset) => {
      const { batch, batchEnd } = record;
      last = { batch, batchEnd };
      if (batchEnd) end = offset + record.length;
    });
    const stays = again && wholeEnd === from;
    // What was written before the later one is whole by now, or damaged.
    if (stays && later !== undefined) throw laterWriteError(path, from, later);
    if (wholeEnd === size) return { end, torn: end < size };
    later = await findLaterBatch(reader, wholeEnd, size, seed, last.batchEnd ? last.batch + 1 : last.batch);
    if (later === undefined) {
      if (await isRoom(reader, end, size)) return { end, torn: false };
      if (stays) return { end, torn: true };
    }
    from = wholeEnd;
  }
}

async function closeAll(opened: Iterable<Pick<Opened, 'reader'>>): Promise<undefined> {
  for (const { reader } of opened) await reader.close().catch(() => undefined);
}

const ATTEMPTS_MAX = 20;
const WINDOW_BYTES = 1024 * 1024;
