import type { ByteBlock } from './byte-block.js';
import type { Committed, CommitThread } from './commit-thread.js';
import { NotBegun } from './commit-thread.js';
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
  readonly #nowMs: () => number;
  /** Up to here the file has room behind its last batch; not beyond that, where it has none. */
  #roomEnd: number;
  /** The newest batch that is being written. */
  #underWay: UnderWay | undefined;
  /** So many batches do without, since there was no space for room. */
  #batchesWithout = 0;

  /** @param options.roomEnd of a file that was opened with room @param options.thread that commits where it can */
  constructor(options: { roomBytes: number; roomEnd: number; thread: CommitThread | undefined; nowMs: () => number }) {
    this.#nowMs = options.nowMs;
    this.#roomBytes = options.roomBytes;
    this.#roomEnd = options.roomEnd;
    this.#thread = options.thread;
  }

  /**
   * Completes the records of a batch, which a block begins with, writes them and, when it is due, new room behind them, and syncs once. Until its first await nothing
   * keeps it from having the thread begin. One batch may be written behind another that is under way: if that one fails, it rejects with `NotBegun`.
   *
   * @param room for the next batches: is made where there is none, or given back; then nothing may be under way
   * @returns the records as they were written, until the write after the next one, and how
   * @throws what the file system throws; then it is not known what was written
   */
  async write(
    file: File,
    block: ByteBlock,
    length: number,
    { position, seed, room }: { position: number; seed: number; room: 'make' | 'cut' },
  ): Promise<Appended> {
    const end = position + length;
    if (room === 'cut') await this.cutRoom(file, end);
    const roomBytes = room === 'make' && end > this.#roomEnd ? this.#roomToMake(length) : 0;
    // Whoever is written behind this reckons with it.
    if (roomBytes > 0) this.#roomEnd = end + roomBytes;
    const underWay = this.#begin(file, block, { length, position, seed, roomBytes });
    this.#underWay = underWay;
    try {
      const written = await underWay.done;
      if (!written.hasRoom) this.#onNoSpace(end + roomBytes);
      return { ...written, position };
    } finally {
      if (this.#underWay === underWay) this.#underWay = undefined;
    }
  }

  /** By the thread, unless another is under way that is not. */
  #begin(file: File, block: ByteBlock, commit: Commit): UnderWay {
    const before = this.#underWay;
    const { descriptor } = file;
    if (descriptor !== undefined) this.#thread?.count();
    const byThread = descriptor !== undefined && before?.byThread !== false ? this.#thread?.commit(descriptor, block, commit) : undefined;
    return byThread ? { byThread: true, done: byThread } : { byThread: false, done: this.#commitByPool(before?.done, file, block, commit) };
  }

  /** What `CommitThread` does. */
  async #commitByPool(
    before: Promise<unknown> | undefined,
    file: File,
    block: ByteBlock,
    { length, position, seed, roomBytes }: Commit,
  ): Promise<Committed> {
    completeRecords(block, length, seed);
    await before?.catch(() => Promise.reject(new NotBegun()));
    const startedMs = this.#nowMs();
    await writeFully(file, block.bytes, length, position);
    const hasRoom = await writeRoom(file, position + length, roomBytes);
    await file.sync();
    return { block, hasRoom, diskMs: this.#nowMs() - startedMs };
  }

  /** Whether a batch may be written behind the one that is under way: not where the next could be the thread's, and not after that one. */
  get takesAnother(): boolean {
    return this.#underWay?.byThread === true || !this.#thread?.runs;
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
   * moment what space others may need.
   */
  #roomToMake(length: number): number {
    this.#roomEnd = 0;
    if (this.#batchesWithout > 0) {
      this.#batchesWithout--;
      return 0;
    }
    return length * ROOM_BATCHES_MIN > this.#roomBytes ? 0 : this.#roomBytes;
  }

  /** @param roomEnd of the room that is not there */
  #onNoSpace(roomEnd: number): void {
    if (this.#roomEnd === roomEnd) this.#roomEnd = 0;
    this.#batchesWithout = ROOM_AGAIN_AFTER_BATCHES;
  }
}

/** A batch that is durable, and where it lies in its file. */
export interface Appended extends Committed {
  readonly position: number;
}

/** What is written at once, and synced once. */
export interface Commit {
  /** Of the records that a block begins with. */
  readonly length: number;
  /** In the file. */
  readonly position: number;
  /** Of the segment's checksums. */
  readonly seed: number;
  /** Of room behind them. */
  readonly roomBytes: number;
}

interface UnderWay {
  readonly byThread: boolean;
  readonly done: Promise<Committed>;
}

/** Behind the batch, which a crash may lose alone: then zeros before room tell that a write was under way. */
async function writeRoom(file: File, start: number, bytes: number): Promise<boolean> {
  try {
    for (let done = 0; done < bytes; done += ROOM.length) await writeFully(file, ROOM, Math.min(ROOM.length, bytes - done), start + done);
    return true;
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    await file.truncate(start);
    return false;
  }
}

/** That many batches after there was no space for room it is tried again. */
export const ROOM_AGAIN_AFTER_BATCHES = 64;
/** So many batches have to find room in it. */
const ROOM_BATCHES_MIN = 4;
const ROOM = Buffer.alloc(64 * 1024, ROOM_BYTE);
