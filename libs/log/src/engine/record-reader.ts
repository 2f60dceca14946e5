import type { Position, ReadReply } from '../log.port.js';
import { unreadableError } from './damage.js';
import { readFully } from './file-system.js';
import type { Location } from './key-index.js';
import type { Epoch, Readers } from './readers.js';
import { READ_BYTES_MAX, ReadThread } from './read-thread.js';
import { RecordView } from './record-view.js';
import type { Segment } from './segment.js';

/** A read from call to answer. */
interface PointRead {
  readonly key: string;
  readonly location: Location;
  readonly asOf: Position;
  readonly segment: Segment;
  readonly epoch: Epoch;
  readonly resolve: (reply: ReadReply) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads entries from segments and checks them. What is asked for in one turn of the event loop goes together: a few to Node's pool, more to a thread of the
 * reader's own, which begins when that has happened a few times.
 */
export class RecordReader {
  readonly #segments: ReadonlyArray<Segment | undefined>;
  readonly #readers: Readers;
  readonly #record = new RecordView();
  #thread: ReadThread<PointRead> | undefined;
  #threadFailed = false;
  /** In which more reads came than the pool is good for. */
  #turns = 0;
  #asked: PointRead[] = [];

  /** @param segments by id */
  constructor(segments: ReadonlyArray<Segment | undefined>, readers: Readers) {
    this.#segments = segments;
    this.#readers = readers;
  }

  /** Resolves with the entry at a location, rejects with INTERNAL when it is not as it was written. */
  read(key: string, location: Location, asOf: Position, resolve: (reply: ReadReply) => void, reject: (error: unknown) => void): void {
    const epoch = this.#readers.enter();
    const segment = this.#segments[location.segment]!;
    if (this.#asked.push({ key, location, asOf, segment, epoch, resolve, reject }) === 1) setImmediate(this.#start);
  }

  /** When nobody reads any more. */
  async close(): Promise<void> {
    await this.#thread?.close();
  }

  readonly #start = (): void => {
    const asked = this.#asked;
    this.#asked = [];
    const together = asked.length + (this.#thread?.underWay ?? 0) >= TOGETHER_MIN;
    if (together && !this.#thread && ++this.#turns >= TURNS_MIN) this.#beginThread();
    for (const read of asked) if (!together || !this.#giveToThread(read)) void this.#readAlone(read);
    this.#thread?.post();
  };

  #giveToThread(read: PointRead): boolean {
    const { recordBytes, offset } = read.location;
    const { descriptor } = read.segment.reader;
    if (!this.#thread || descriptor === undefined || recordBytes > READ_BYTES_MAX) return false;
    return this.#thread.add(read, descriptor, recordBytes, offset);
  }

  #beginThread(): void {
    if (this.#threadFailed) return;
    try {
      this.#thread = new ReadThread(this.#onRead);
    } catch {
      // The machine has no thread left: the pool's are there.
      this.#threadFailed = true;
    }
  }

  readonly #onRead = (read: PointRead, bytes: Buffer, start: number, filled: number): void => {
    // What went wrong, the other way finds out.
    if (filled < read.location.recordBytes || !this.#isWhole(read, bytes, start, filled)) void this.#readAlone(read);
    else this.#answer(read, this.#record.value.slice());
  };

  async #readAlone(read: PointRead): Promise<void> {
    const { segment, location } = read;
    // Of its own, not from Node's pool: the value that goes out is a view of it.
    const bytes = Buffer.allocUnsafeSlow(location.recordBytes);
    try {
      const filled = await readFully(segment.reader, bytes, 0, bytes.length, location.offset);
      if (!this.#isWhole(read, bytes, 0, filled)) throw unreadableError(segment.path, location.offset);
      this.#answer(read, this.#record.value);
    } catch (error) {
      this.#readers.leave(read.epoch);
      read.reject(error);
    }
  }

  #isWhole({ key, location, segment }: PointRead, bytes: Buffer, start: number, filled: number): boolean {
    const record = this.#record;
    return record.at(bytes, start, start + filled, segment.seed) === 'whole' && record.revision === location.revision && record.key === key;
  }

  #answer({ key, asOf, epoch, resolve }: PointRead, value: Uint8Array): void {
    const { contentType, revision } = this.#record;
    this.#readers.leave(epoch);
    resolve({ entry: { key, value, contentType, revision }, asOf });
  }
}

/** Reads at once from which on the thread is worth waking. */
const TOGETHER_MIN = 4;
/** Turns with so many before the thread is worth beginning. */
const TURNS_MIN = 16;
