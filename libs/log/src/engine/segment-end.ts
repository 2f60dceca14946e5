import type { ByteBlock } from './byte-block.js';
import type { CommitThread } from './commit-thread.js';
import type { File } from './file-system.js';
import { isNoSpace, writeFully } from './file-system.js';
import { ROOM_BYTE } from './record-layout.js';
import { completeRecords } from './record.js';

/**
 * Where batches are written: at the end of the newest segment.
 *
 * A sync of a file that has grown waits for the journal of the file system as well, which takes about as long again. So bytes are written ahead (_room_, `ROOM_BYTE`), and the
 * next batches take their place. Whoever owns this sees to it that no other segment has any.
 */
export class SegmentEnd {
  readonly #thread: CommitThread | undefined;
  readonly #roomBytes: number;
  /** Up to here the file has room behind its last batch; not beyond that, where it has none. */
  #roomEnd: number;
  /** So many batches do without, since there was no space for room. */
  #batchesWithout = 0;

  /** @param options.roomEnd of a file that was opened with room @param options.thread that commits where it can */
  constructor(options: { roomBytes: number; roomEnd: number; thread: CommitThread | undefined }) {
    this.#roomBytes = options.roomBytes;
    this.#roomEnd = options.roomEnd;
    this.#thread = options.thread;
  }

  /**
   * Completes the records of a batch, which a block begins with, writes them once and syncs once. @param room for the next batches: is made where there is
   * none, or given back
   *
   * @returns the records as they were written, until the next write
   * @throws what the file system throws; then it is not known what was written
   */
  async write(
    file: File,
    block: ByteBlock,
    length: number,
    { position, seed, room }: { position: number; seed: number; room: 'make' | 'cut' },
  ): Promise<ByteBlock> {
    const end = position + length;
    if (room === 'cut') await this.cutRoom(file, end);
    else if (end > this.#roomEnd) await this.#makeRoom(file, position, end);
    const { descriptor } = file;
    const underWay = descriptor === undefined ? undefined : this.#thread?.commit(descriptor, block, length, position, seed);
    if (underWay) return underWay;
    completeRecords(block, length, seed);
    await writeFully(file, block.bytes, length, position);
    await file.sync();
    return block;
  }

  hasRoomAfter(end: number): boolean {
    return this.#roomEnd > end;
  }

  /** Room behind `end` is given back. Durable with the next sync. */
  async cutRoom(file: File, end: number): Promise<void> {
    if (this.hasRoomAfter(end)) await file.truncate(end);
    this.#roomEnd = 0;
  }

  /** The file has been cut, or is another. */
  forgetRoom(): void {
    this.#roomEnd = 0;
  }

  async close(): Promise<void> {
    await this.#thread?.close();
  }

  /**
   * A batch that is large beside room is not worth it. Where there is no space for room there is none, and for some time it is not tried again: each try takes for a
   * moment what space others may need. It begins where the batch will lie, so that a crash before
   * the batch leaves no hole, which would look like something lost.
   */
  async #makeRoom(file: File, position: number, end: number): Promise<void> {
    const from = Math.max(position, this.#roomEnd);
    this.#roomEnd = 0;
    if (this.#batchesWithout > 0) return void this.#batchesWithout--;
    if ((end - position) * ROOM_BATCHES_MIN > this.#roomBytes) return;
    const roomEnd = end + this.#roomBytes;
    try {
      for (let at = from; at < roomEnd; at += ROOM.length) await writeFully(file, ROOM, Math.min(ROOM.length, roomEnd - at), at);
      this.#roomEnd = roomEnd;
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      this.#batchesWithout = ROOM_AGAIN_AFTER_BATCHES;
      await file.truncate(position);
    }
  }
}

/** That many batches after there was no space for room it is tried again. */
export const ROOM_AGAIN_AFTER_BATCHES = 64;
/** So many batches have to find room in it. */
const ROOM_BATCHES_MIN = 4;
const ROOM = Buffer.alloc(64 * 1024, ROOM_BYTE);
