import { Worker } from 'node:worker_threads';
import type { ByteBlock } from './byte-block.js';
import { blockOf } from './byte-block.js';
import type { CommitDesk, CommitOutcome } from './commit-thread-worker.js';
import type { Commit } from './segment-end.js';

/**
 * Commits batches in a thread of its own: payload hashes and checksums, one write, one `fdatasync`. By Node's pool write and sync are two jobs, each of which
 * wakes a thread of the pool and then the event loop; here one wakes one. And the event loop has its time for the appends.
 *
 * Nothing is acknowledged but by the thread's own word: if it ends, what it was about fails like a sync does.
 */
export class CommitThread {
  readonly #desk = newDesk();
  readonly #beginAfter: number;
  #askedBefore = 0;
  #worker: Worker | undefined;
  #runs = false;
  /**
   * Shared with the thread, which has them in turns: what was written may be looked at while the next one is. The batch is copied, because memory that is shared is several times slower to write to
   * bit by bit.
   */
  readonly #blocks = [blockOf(Buffer.alloc(0)), blockOf(Buffer.alloc(0))];
  /** Of those that are under way, oldest first. */
  readonly #settle: Array<(outcome: CommitOutcome) => void> = [];
  #posted = 0;
  #memories = 0;
  /** One more after each failure: the thread does nothing more of the one before. */
  #epoch = 1;

  /** @param beginAfter so many batches are left to the pool before the thread is worth beginning */
  constructor(beginAfter: number) {
    this.#beginAfter = beginAfter;
  }

  get runs(): boolean {
    return this.#runs;
  }

  /**
   * Completes a copy of the records that a block begins with, and resolves with it when it is on stable storage in a file, with room behind it if there was space. It stays as it is
   * until the call after the next. Rejects with the file system's error, or when the thread ends; then it is not known what was written, but nothing more will be.
   * Undefined when it cannot: not yet, or not any more.
   *
   * One call at a time, or one more behind it: if the first fails, that one is not begun, and rejects with `NotBegun`.
   */
  commit(descriptor: number, { bytes }: ByteBlock, commit: Commit): Promise<Committed> | undefined {
    if (!this.#runs) return undefined;
    const { control, positions, elapsedMs, field, jobs } = this.#desk;
    const { length } = commit;
    const place = this.#posted & 1;
    if (this.#blocks[place]!.bytes.length < length) this.#growTo(place, length);
    const block = this.#blocks[place]!;
    block.bytes.set(bytes.subarray(0, length));
    const job = jobs[place]!;
    control[job + field.descriptor] = descriptor;
    control[job + field.length] = length;
    control[job + field.seed] = commit.seed;
    control[job + field.roomBytes] = commit.roomBytes;
    control[job + field.epoch] = this.#epoch;
    control[job + field.memories] = this.#memories;
    positions[place] = commit.position;
    return new Promise((resolve, reject) => {
      this.#settle.push((outcome) => {
        if (typeof outcome === 'boolean') resolve({ block, hasRoom: outcome, diskMs: elapsedMs[place]! });
        else if (outcome === 'not begun') reject(new NotBegun());
        else reject(Object.assign(new Error(outcome.message), { code: outcome.code }));
      });
      this.#worker!.ref();
      this.#posted++;
      Atomics.add(control, field.posted, 1);
      Atomics.notify(control, field.posted);
    });
  }

  /** Not while it commits. */
  async close(): Promise<void> {
    this.#askedBefore = -Infinity;
    await this.#worker?.terminate();
  }

  /** Counts a batch, and begins the thread when there were enough. */
  count(): void {
    if (this.#worker || this.#askedBefore++ !== this.#beginAfter) return;
    try {
      this.#worker = new Worker(new URL(WORKER_FILE, import.meta.url), { workerData: this.#desk, resourceLimits: LIMITS });
    } catch {
      // The machine has no thread left: the pool's are there.
      return;
    }
    this.#worker.on('message', (message: CommitOutcome | 'ready') => {
      if (message === 'ready') this.#runs = true;
      else this.#end(message);
    });
    this.#worker.on('error', () => undefined);
    this.#worker.on('exit', () => {
      this.#runs = false;
      do this.#end({ message: 'the thread that writes the log ended', code: undefined });
      while (this.#settle.length > 0);
    });
    this.#worker.unref();
  }

  #end(outcome: CommitOutcome): void {
    const settle = this.#settle.shift();
    if (this.#settle.length === 0) this.#worker!.unref();
    if (typeof outcome !== 'boolean') this.#epoch++;
    settle?.(outcome);
  }

  /** What throws leaves all as it was: both threads have to agree on what was sent, and in which place. */
  #growTo(place: number, length: number): void {
    const memory = new SharedArrayBuffer(Math.max(MEMORY_BYTES_MIN, 2 ** Math.ceil(Math.log2(length))));
    this.#worker!.postMessage({ place, memory });
    this.#memories++;
    this.#blocks[place] = blockOf(Buffer.from(memory));
  }
}

/** What is on stable storage. */
export interface Committed {
  /** The records as they were written. */
  readonly block: ByteBlock;
  readonly hasRoom: boolean;
  /** What it took, once it had begun. */
  readonly diskMs: number;
}

/** Nothing of this was written, because what was to be written before it failed. */
export class NotBegun extends Error {
  override readonly name = 'NotBegun';

  constructor() {
    super('nothing of this was written, since what came before it could not be');
  }
}

const MEMORY_BYTES_MIN = 256 * 1024;
/** It keeps nothing. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };
const WORKER_FILE = import.meta.url.endsWith('.ts') ? './commit-thread-worker.ts' : './commit-thread-worker.js';

function newDesk(): CommitDesk {
  const field = { posted: 0, descriptor: 0, length: 1, seed: 2, roomBytes: 3, epoch: 4, memories: 5 };
  const jobs = [1, 7];
  const shared = (bytes: number) => new SharedArrayBuffer(bytes);
  return {
    control: new Int32Array(shared(13 * 4)),
    positions: new Float64Array(shared(2 * 8)),
    elapsedMs: new Float64Array(shared(2 * 8)),
    jobs,
    field,
  };
}
