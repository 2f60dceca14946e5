import { Worker } from 'node:worker_threads';
import type { ReadRing } from './read-thread-worker.js';

/**
 * Reads short stretches of files in a thread of its own. Node's pool is woken for each read and wakes this thread for nearly each: system calls that cost more
 * than the read itself while the pages are in memory. Here what is posted together costs one call in each direction.
 *
 * It takes reads only while it runs and has room: whoever asks has another way to read.
 */
export class ReadThread<Job> {
  readonly #onRead: (job: Job, bytes: Buffer, start: number, filled: number) => void;
  readonly #ring = newRing();
  readonly #bytes = Buffer.from(this.#ring.data);
  readonly #worker: Worker;
  /** By slot. */
  readonly #jobs = new Array<Job | undefined>(SLOTS).fill(undefined);
  #runs = false;
  // Counts, modulo 2^32 as the other thread sees them.
  #added = 0;
  #posted = 0;
  #answered = 0;

  /**
   * @param onRead is told of each job, in order, where its bytes lie until it returns, and how many: fewer than asked for when the read failed. Must not throw
   * @throws when the operating system gives no thread
   */
  constructor(onRead: (job: Job, bytes: Buffer, start: number, filled: number) => void) {
    this.#onRead = onRead;
    this.#worker = new Worker(new URL(WORKER_FILE, import.meta.url), { workerData: this.#ring, resourceLimits: LIMITS });
    this.#worker.on('message', (message: string) => {
      if (message === 'ready') this.#runs = true;
      else this.#answer();
    });
    this.#worker.on('error', () => undefined);
    this.#worker.on('exit', () => this.#onExit());
    this.#worker.unref();
  }

  get underWay(): number {
    return (this.#added - this.#answered) | 0;
  }

  /** False when it cannot. To be followed by `post`. @param length at most READ_BYTES_MAX */
  add(job: Job, descriptor: number, length: number, position: number): boolean {
    if (!this.#runs || this.underWay === SLOTS) return false;
    const { jobs, positions } = this.#ring;
    const slot = this.#added & (SLOTS - 1);
    jobs[slot * 2] = descriptor;
    jobs[slot * 2 + 1] = length;
    positions[slot] = position;
    this.#jobs[slot] = job;
    this.#added = (this.#added + 1) | 0;
    return true;
  }

  /** What was added is read from now on. */
  post(): void {
    if (this.#posted === this.#added) return;
    if (this.#posted === this.#answered) this.#worker.ref();
    this.#posted = this.#added;
    Atomics.store(this.#ring.control, FIELD.posted, this.#posted);
    Atomics.notify(this.#ring.control, FIELD.posted);
  }

  /** Not while a job is under way. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #answer(): void {
    const { control, jobs } = this.#ring;
    Atomics.store(control, FIELD.told, 0);
    const done = Atomics.load(control, FIELD.done);
    while (this.#answered !== done) this.#answerNext(jobs[(this.#answered & (SLOTS - 1)) * 2 + 1]!);
    if (this.#posted === done) this.#worker.unref();
  }

  #answerNext(filled: number): void {
    const slot = this.#answered & (SLOTS - 1);
    const job = this.#jobs[slot]!;
    this.#onRead(job, this.#bytes, slot * READ_BYTES_MAX, filled);
    this.#jobs[slot] = undefined;
    this.#answered = (this.#answered + 1) | 0;
  }

  /** Nobody waits in vain for a thread that ended by itself. */
  #onExit(): void {
    this.#runs = false;
    while (this.#answered !== this.#added) this.#answerNext(-1);
  }
}

/** A longer read costs so much by itself that another thread does not matter. */
export const READ_BYTES_MAX = 4_096;
/** A power of two. */
const SLOTS = 64;
const FIELD = { posted: 0, done: 1, told: 2 } as const;
/** It keeps nothing. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };
const WORKER_FILE = import.meta.url.endsWith('.ts') ? './read-thread-worker.ts' : './read-thread-worker.js';

function newRing(): ReadRing {
  return {
    control: new Int32Array(new SharedArrayBuffer(3 * 4)),
    jobs: new Int32Array(new SharedArrayBuffer(SLOTS * 2 * 4)),
    positions: new Float64Array(new SharedArrayBuffer(SLOTS * 8)),
    data: new SharedArrayBuffer(SLOTS * READ_BYTES_MAX),
    slots: SLOTS,
    slotBytes: READ_BYTES_MAX,
    field: FIELD,
  };
}
