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
  #turn = 0;
  #settle: ((outcome: CommitOutcome) => void) | undefined;

  /** @param beginAfter so many batches are left to the pool before the thread is worth beginning */
  constructor(beginAfter: number) {
    this.#beginAfter = beginAfter;
  }

  /**
   * Completes a copy of the records that a block begins with, and resolves with it when it is on stable storage in a file, with room behind it if there was space. It stays as it is
   * until the call after the next. Rejects with the file system's error, or when the thread ends; then it is not known what was written, but nothing more will be.
   * Undefined when it cannot: not yet, or not any more. One call at a time.
   */
  commit(descriptor: number, { bytes }: ByteBlock, commit: Commit): Promise<{ block: ByteBlock; hasRoom: boolean }> | undefined {
    if (!this.#worker) this.#beginWhenDue();
    if (!this.#runs) return undefined;
    const { control, position, field } = this.#desk;
    const { length } = commit;
    this.#turn ^= 1;
    if (this.#blocks[this.#turn]!.bytes.length < length) this.#growTo(length);
    const block = this.#blocks[this.#turn]!;
    block.bytes.set(bytes.subarray(0, length));
    control[field.block] = this.#turn;
    control[field.descriptor] = descriptor;
    control[field.length] = length;
    control[field.seed] = commit.seed;
    control[field.roomBytes] = commit.roomBytes;
    position[0] = commit.position;
    return new Promise((resolve, reject) => {
      this.#settle = (outcome) => {
        if (typeof outcome === 'boolean') resolve({ block, hasRoom: outcome });
        else reject(Object.assign(new Error(outcome.message), { code: outcome.code }));
      };
      this.#worker!.ref();
      Atomics.add(control, field.posted, 1);
      Atomics.notify(control, field.posted);
    });
  }

  /** Not while it commits. */
  async close(): Promise<void> {
    this.#askedBefore = -Infinity;
    await this.#worker?.terminate();
  }

  #beginWhenDue(): void {
    if (this.#askedBefore++ !== this.#beginAfter) return;
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
      this.#end({ message: 'the thread that writes the log ended', code: undefined });
    });
    this.#worker.unref();
  }

  #end(outcome: CommitOutcome): void {
    this.#worker!.unref();
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.(outcome);
  }

  #growTo(length: number): void {
    const { control, field } = this.#desk;
    const memory = new SharedArrayBuffer(Math.max(MEMORY_BYTES_MIN, 2 ** Math.ceil(Math.log2(length))));
    this.#blocks[this.#turn] = blockOf(Buffer.from(memory));
    control[field.memories]!++;
    this.#worker!.postMessage({ block: this.#turn, memory });
  }
}

const MEMORY_BYTES_MIN = 256 * 1024;
/** It keeps nothing. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };
const WORKER_FILE = import.meta.url.endsWith('.ts') ? './commit-thread-worker.ts' : './commit-thread-worker.js';

function newDesk(): CommitDesk {
  const field = { posted: 0, memories: 1, block: 2, descriptor: 3, length: 4, seed: 5, roomBytes: 6 };
  const control = new Int32Array(new SharedArrayBuffer(Object.keys(field).length * 4));
  return { control, position: new Float64Array(new SharedArrayBuffer(8)), field };
}
