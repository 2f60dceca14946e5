import { basename, join } from 'node:path';
import { DiptychError } from '@diptych/kernel';
import type { ByteBlock } from './byte-block.js';
import { damageError } from './damage.js';
import { segmentName } from './directory.js';
import type { File, FileSystem } from './file-system.js';
import { errorCodeOf, writeFully } from './file-system.js';
import type { Segment } from './segment.js';
import { emptyTally } from './segment.js';
import { scanSegment } from './segment-scan.js';
import type { SegmentHeader } from './segment-header.js';
import type { Appended, SegmentEnd } from './segment-end.js';
import { SEGMENT_HEADER_BYTES, encodeSegmentHeader, segmentSeed } from './segment-header.js';

/** What all headers of a log have in common. */
type LogHeader = Pick<SegmentHeader, 'incarnation' | 'partition'>;

/** Where the newest segment stands on stable storage. Changed by what succeeded alone, so nothing has to be taken back. */
interface Durable {
  /** Number of the last batch; 0 before the first. */
  readonly batch: number;
  readonly lastBatchStart: number;
  /** False after a crash cut the last batch short: no batch may follow it in this segment, see format.md. */
  readonly batchEnd: boolean;
}

/**
 * The segments of an open log: appends to the newest, reads from all. It does not know what is in them.
 *
 * Appending is for one caller at a time, who may append one more batch where it `takesAnother`. After an append or a rotation that threw, nothing is written until `cut` or `recover` succeeded.
 */
export class SegmentStore {
  /** Oldest first. Only the newest is written to; the others may be replaced. */
  readonly segments: Segment[];
  readonly header: LogHeader;
  /** By id. An id that is free has no segment. */
  readonly #byId: Array<Segment | undefined> = [];
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  #writer: File | undefined;
  #durable: Durable;
  /** Batches that are being appended, and their bytes. */
  #underWay = 0;
  #underWayBytes = 0;
  /** An append failed: what the file holds after its durable length is not known. */
  #inDoubt = false;
  readonly #end: SegmentEnd;
  /** A rotation failed: there may be a segment by this name that is not part of the log. */
  #stray: string | undefined;
  /** What was cut off the newest segment may have been acknowledged: the next one leaves out revisions, see format.md. */
  #skips: boolean;
  /** Behind the newest segment's end lies a torn write that could not be saved aside yet. It is cut before anything is written. */
  #cutTail: (() => Promise<void>) | undefined;

  constructor(options: {
    fileSystem: FileSystem;
    directory: string;
    header: LogHeader;
    segments: Segment[];
    writer: File | undefined;
    last: { readonly batch: number; readonly batchEnd: boolean };
    skips: boolean;
    cutTail?: (() => Promise<void>) | undefined;
    end: SegmentEnd;
  }) {
    this.#fileSystem = options.fileSystem;
    this.#directory = options.directory;
    this.header = options.header;
    this.segments = options.segments;
    for (const segment of this.segments) this.#byId[segment.id] = segment;
    this.#writer = options.writer;
    this.#skips = options.skips;
    this.#cutTail = options.cutTail;
    this.#end = options.end;
    const { batch, batchEnd } = options.last;
    this.#durable = { batch, batchEnd, lastBatchStart: this.segments.length > 0 ? this.current.length : 0 };
  }

  /** Appends go here. */
  get current(): Segment {
    return this.segments[this.segments.length - 1]!;
  }

  get bytes(): number {
    return this.segments.reduce((sum, { length }) => sum + length, 0);
  }

  get byId(): ReadonlyArray<Segment | undefined> {
    return this.#byId;
  }

  /** The last revision that the segment stands for. Of the newest it is not fixed yet. */
  lastRevisionOf(segment: Segment): number {
    return segment.compacted?.lastRevision ?? this.segments[this.segments.indexOf(segment) + 1]!.firstRevision - 1;
  }

  get freeId(): number {
    const hole = this.#byId.indexOf(undefined);
    return hole === -1 ? this.#byId.length : hole;
  }

  /** In one step the segment stands for those of the run, adjacent and not the newest. They stay to be read from until `release`. */
  replaceRun(run: readonly Segment[], by: Segment): void {
    const first = this.segments.indexOf(run[0]!);
    this.segments.splice(first, run.length, by);
    this.#byId[by.id] = by;
  }

  /** Closes a segment that was replaced, and that nobody reads from any more. */
  async release(segment: Segment): Promise<void> {
    this.#byId[segment.id] = undefined;
    await segment.reader.close().catch(() => undefined);
  }

  /** For the batch that is appended next. A batch that failed leaves its number to the one after it. */
  get nextBatch(): number {
    return this.#durable.batch + this.#underWay + 1;
  }

  /** Where the batch that is appended next begins. */
  get end(): number {
    return this.current.length + this.#underWayBytes;
  }

  /** Whether a batch may be appended behind the one that is under way. */
  get takesAnother(): boolean {
    return this.#underWay === 1 && !this.#inDoubt && this.#end.takesAnother;
  }

  /** The newest segment takes no more batches. */
  get mustRotate(): boolean {
    return !this.#durable.batchEnd || this.#skips;
  }

  /**
   * Makes the batch `nextBatch` durable, the records that a block begins with. Returns them as they were written, until the append after the next one. One behind another that
   * fails rejects with `NotBegun`.
   *
   * @param room behind it, for the next: see segment-end.ts
   * @throws what the file system throws; then it is not known what was appended
   */
  async append(block: ByteBlock, length: number, room: 'make' | 'cut' = 'make'): Promise<Appended> {
    if (this.#cutTail) await this.#settleTail();
    const { current, end: position } = this;
    const writer = this.#requireWriter();
    this.#underWay++;
    this.#underWayBytes += length;
    try {
      const written = await this.#end.write(writer, block, length, { position, seed: current.seed, room });
      this.#durable = { batch: this.#durable.batch + 1, batchEnd: true, lastBatchStart: position };
      current.length += length;
      return written;
    } catch (error) {
      this.#inDoubt = true;
      throw error;
    } finally {
      this.#underWay--;
      this.#underWayBytes -= length;
    }
  }

  /** Starts a new segment. It is durable, its name too, before anything is written to it. @throws what the file system throws */
  async rotate(firstRevision: number, createdWallMs: number): Promise<void> {
    await this.#settleTail();
    this.#assertCertain();
    await this.giveRoomBack();
    const path = join(this.#directory, segmentName(firstRevision));
    const temporary = `${path}.new`;
    const skips = this.#skips ? 1 : 0;
    const header = encodeSegmentHeader({ ...this.header, firstRevision, createdWallMs, skips });
    await this.#fileSystem.remove(temporary).catch(ignoreMissing);
    const writer = await this.#fileSystem.open(temporary, 'create');
    let reader: File | undefined;
    try {
      await writeFully(writer, header, header.length, 0);
      await writer.sync();
      this.#stray = path;
      await this.#fileSystem.rename(temporary, path);
      await this.#fileSystem.syncDirectory(this.#directory);
      reader = await this.#fileSystem.open(path, 'read');
    } catch (error) {
      await writer.close().catch(() => undefined);
      await this.#fileSystem.remove(temporary).catch(() => undefined);
      throw error;
    }
    await this.#writer?.close().catch(() => undefined);
    this.#writer = writer;
    this.#stray = undefined;
    this.#skips = false;
    this.#durable = { batch: 0, batchEnd: true, lastBatchStart: SEGMENT_HEADER_BYTES };
    this.#end.forgetRoom();
    const segment: Segment = {
      id: this.freeId,
      path,
      firstRevision,
      seed: segmentSeed(header),
      reader,
      skips,
      compacted: undefined,
      length: SEGMENT_HEADER_BYTES,
      tally: emptyTally(),
    };
    this.segments.push(segment);
    this.#byId[segment.id] = segment;
  }

  /** Takes back an append or a rotation that failed, durably: afterwards it is certain that it did not happen. */
  async cut(): Promise<void> {
    await this.#removeStray();
    if (!this.#inDoubt) return;
    if (!this.#writer) throw this.#notWritable();
    await this.#writer.truncate(this.current.length);
    this.#end.forgetRoom();
    await this.#writer.sync();
    this.#inDoubt = false;
  }

  /**
   * After a failed write or sync the file's cached pages are not to be trusted (fsync reports an error once and then forgets it: Rebello et
   * al., "Can Applications Recover from fsync Failures?", 2020). So the file is opened anew, cut back to what was durable, synced,
   * its last batch read back, and left for a fresh segment.
   *
   * @throws what the file system throws; may be tried again
   */
  async recover(nextRevision: number, createdWallMs: number): Promise<void> {
    await this.#settleTail();
    const { current } = this;
    this.#inDoubt = true;
    await this.#writer?.close().catch(() => undefined);
    this.#writer = undefined;
    await this.#removeStray();
    const writer = await this.#fileSystem.open(current.path, 'write');
    try {
      const size = await writer.size();
      if (size < current.length) throw damageError(current.path, size, `the file ends here, and ${current.length} bytes were durable`);
      await writer.truncate(current.length);
      this.#end.forgetRoom();
      await writer.sync();
      const { wholeEnd } = await scanSegment(writer, this.#durable.lastBatchStart, current.length, current.seed, () => undefined);
      if (wholeEnd < current.length) throw damageError(current.path, wholeEnd, 'a record that was durable cannot be read back');
    } catch (error) {
      await writer.close().catch(() => undefined);
      throw error;
    }
    this.#writer = writer;
    this.#inDoubt = false;
    if (current.firstRevision !== nextRevision) await this.rotate(nextRevision, createdWallMs);
  }

  async close(): Promise<void> {
    const files = [this.#writer, ...this.#byId.map((segment) => segment?.reader)];
    this.#writer = undefined;
    await this.#end.close();
    for (const file of files) await file?.close().catch(() => undefined);
  }

  /** Gives back the room behind the newest segment's end, durably: no other has any, and none that nobody writes to. @throws what the file system throws */
  async giveRoomBack(): Promise<void> {
    if (!this.#writer || !this.#end.hasRoomAfter(this.current.length)) return;
    this.#inDoubt = true;
    await this.#end.cutRoom(this.#writer, this.current.length);
    await this.#writer.sync();
    this.#inDoubt = false;
  }

  /** Were it left, a later append to the segment before it would have a revision twice. */
  async #removeStray(): Promise<void> {
    if (this.#stray === undefined) return;
    await this.#fileSystem.remove(this.#stray).catch(ignoreMissing);
    await this.#fileSystem.syncDirectory(this.#directory);
    this.#stray = undefined;
  }

  async #settleTail(): Promise<void> {
    await this.#cutTail?.();
    this.#cutTail = undefined;
  }

  #requireWriter(): File {
    this.#assertCertain();
    if (!this.#writer) throw this.#notWritable();
    return this.#writer;
  }

  #assertCertain(): void {
    if (this.#inDoubt || this.#stray !== undefined) throw this.#notWritable();
  }

  #notWritable(): DiptychError {
    return new DiptychError('UNAVAILABLE', `${basename(this.current.path)} is not open for writing`);
  }
}

function ignoreMissing(error: unknown): void {
  if (errorCodeOf(error) !== 'ENOENT') throw error;
}
