import { dirname } from 'node:path';
import type { ByteBlock } from './byte-block.js';
import { byteBlock, withRoom } from './byte-block.js';
import type { File, FileSystem } from './file-system.js';
import { errorCodeOf, writeFully } from './file-system.js';
import { encodeSeal, placeRecord, stampRecord } from './record.js';
import { RECORD_HEAD_BYTES } from './record-layout.js';
import type { RecordView } from './record-view.js';
import type { CompactedHeader, SegmentHeader } from './segment-header.js';
import { encodeSegmentHeader, segmentSeed } from './segment-header.js';

/**
 * Writes a compacted segment under a name of its own, `*.segment.new`, from records of other segments. Only `publish` gives it its name: in one step, when
 * all of it is on stable storage. Until then a crash leaves nothing but a file that the next open removes.
 */
export class SegmentWriter {
  readonly path: string;
  readonly seed: number;
  readonly #fileSystem: FileSystem;
  readonly #lastRevision: number;
  readonly #wallMs: number;
  readonly #file: File;
  #previous: number;
  #buffer: ByteBlock;
  #buffered: number;
  #written = 0;
  #synced = 0;

  private constructor(fileSystem: FileSystem, path: string, file: File, header: SegmentHeader & { compacted: CompactedHeader }) {
    const bytes = encodeSegmentHeader(header);
    this.path = path;
    this.seed = segmentSeed(bytes);
    this.#fileSystem = fileSystem;
    this.#file = file;
    this.#lastRevision = header.compacted.lastRevision;
    this.#wallMs = header.createdWallMs;
    this.#previous = header.firstRevision - 1;
    this.#buffer = byteBlock(256 * 1024);
    this.#buffered = bytes.copy(this.#buffer.bytes);
  }

  static async create(
    fileSystem: FileSystem,
    path: string,
    header: SegmentHeader & { compacted: CompactedHeader },
  ): Promise<SegmentWriter> {
    const temporary = temporaryOf(path);
    await fileSystem.remove(temporary).catch((error: unknown) => {
      if (errorCodeOf(error) !== 'ENOENT') throw error;
    });
    return new SegmentWriter(fileSystem, path, await fileSystem.open(temporary, 'create'), header);
  }

  /** Of what was given to it, written or not. */
  get length(): number {
    return this.#written + this.#buffered;
  }

  /** Takes a copy of the record, whole or as a trace. Returns where it will be. */
  add(record: RecordView, how: 'whole' | 'trace'): { offset: number; length: number } {
    this.#reserve(record.length);
    const at = this.#buffered;
    const length = how === 'whole' ? record.copyTo(this.#buffer, at) : record.traceTo(this.#buffer, at);
    placeRecord(this.#buffer, at, at + length, { previous: this.#previous, batch: BATCH, batchEnd: false, seed: this.seed });
    this.#previous = record.revision;
    this.#buffered += length;
    return { offset: this.#written + at, length };
  }

  /** Writes what was added. A sync every so often, so that none is large enough to hold up those of appends. */
  async flush(): Promise<void> {
    if (this.#buffered === 0) return;
    await writeFully(this.#file, this.#buffer.bytes, this.#buffered, this.#written);
    this.#written += this.#buffered;
    this.#buffered = 0;
    if (this.#written - this.#synced >= SYNC_BYTES) await this.#sync();
  }

  /** Ends the segment with its seal. On return all of it is on stable storage, under its temporary name. */
  async finish(): Promise<void> {
    this.#reserve(RECORD_HEAD_BYTES);
    const at = this.#buffered;
    const end = at + encodeSeal(this.#buffer, at);
    stampRecord(this.#buffer, at, this.#lastRevision, this.#previous, this.#wallMs, false);
    placeRecord(this.#buffer, at, end, { previous: this.#previous, batch: BATCH, batchEnd: true, seed: this.seed });
    this.#buffered = end;
    await this.flush();
    await this.#sync();
  }

  /** What was finished gets its name, durably, and replaces what had it. After a failure either of the two may have it. */
  async publish(): Promise<void> {
    await this.#fileSystem.rename(temporaryOf(this.path), this.path);
    await this.#fileSystem.syncDirectory(dirname(this.path));
  }

  /** To read back what was written, after `finish`. */
  get file(): File {
    return this.#file;
  }

  /** Closes the file and removes it, if it still bears its temporary name. Never throws. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await this.#fileSystem.remove(temporaryOf(this.path)).catch(() => undefined);
  }

  async #sync(): Promise<void> {
    await this.#file.sync();
    this.#synced = this.#written;
  }

  #reserve(bytes: number): void {
    this.#buffer = withRoom(this.#buffer, this.#buffered, bytes);
  }
}

/** A compacted segment is written as one batch: it gets its name only when all of it is durable. */
const BATCH = 1;
const SYNC_BYTES = 1024 * 1024;

function temporaryOf(path: string): string {
  return `${path}.new`;
}
