import { basename } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Channel, DiptychError } from '@diptych/kernel';
import type { AppendBatch } from './append-batch.js';
import { reasonOf } from './directory.js';
import type { FileLogSettings } from './file-log-options.js';
import type { PendingAppend } from './pending-append.js';
import { SEGMENT_HEADER_BYTES } from './segment-header.js';
import type { SegmentStore } from './segment-store.js';
import { isNoSpace } from './segment-store.js';
import { encodeSeal, finishRecord, stampRecord } from './record.js';
import { WaitingAppends } from './waiting-appends.js';

/**
 * The one loop that writes. It takes all appends that wait, writes them with one write, syncs once, and has them applied and answered: group
 * commit. While it waits for the disk, the next batch gathers in the channel.
 *
 *   writing ──EIO and the like──▶ recovering ──reopened──▶ writing
 *      ▲                              │
 *      │                       could not reopen
 *      └──reopened── refusing ◀───────┘          (tries again with backoff)
 */
export class LogWriter {
  readonly #settings: FileLogSettings;
  readonly #store: SegmentStore;
  readonly #batch: AppendBatch;
  readonly #head: () => number;
  readonly #apply: () => void;
  readonly #freeSpace: () => Promise<boolean>;
  readonly #queue: Channel<PendingAppend>;
  readonly #waiting: WaitingAppends;
  #running: Promise<void> | undefined;
  /** An append that no longer fitted into the last batch. */
  #heldOver: PendingAppend | undefined;
  #refusal: string | undefined;
  /** Since the last seal something was written. */
  #unsealed: boolean;
  #closing = false;
  #endPause: (() => void) | undefined;

  /**
   * @param options.freeSpace gives back disk space that others took for a while; false when there is none
   * @param options.apply makes the batch visible and answers it; runs right after the sync, in one synchronous step
   */
  constructor(options: {
    settings: FileLogSettings;
    store: SegmentStore;
    batch: AppendBatch;
    head: () => number;
    apply: () => void;
    unsealed: boolean;
    freeSpace: () => Promise<boolean>;
  }) {
    this.#settings = options.settings;
    this.#store = options.store;
    this.#batch = options.batch;
    this.#head = options.head;
    this.#apply = options.apply;
    this.#unsealed = options.unsealed;
    this.#freeSpace = options.freeSpace;
    const { channelCapacity, sendersMax, clock } = options.settings;
    this.#waiting = new WaitingAppends(clock);
    this.#queue = new Channel({ capacity: channelCapacity, sendersMax });
  }

  /** Why appends are refused; undefined while they are taken. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  get queued(): number {
    return this.#queue.length + this.#queue.waitingSenders;
  }

  /** Seals what was replayed, so that damage to it is told from a torn tail from now on; then the loop runs. */
  async start(): Promise<void> {
    try {
      await this.#seal();
    } catch (error) {
      // A full disk keeps nobody from reading.
      if (!isNoSpace(error)) throw error;
      await this.#store.cut();
    }
    this.#running = this.#run();
  }

  /** Answers through the pending append, whatever happens. One whose context ends while it waits is answered then, and let go of. */
  append(pending: PendingAppend): void {
    if (this.#refusal !== undefined) return pending.reject(this.#refusalError());
    const { queueBytesMax } = this.#settings;
    // An empty queue takes anything: a large append is not refused for ever.
    if (this.#waiting.bytes > 0 && this.#waiting.bytes + pending.bytesBound > queueBytesMax)
      return pending.reject(
        new DiptychError('OVERLOADED', `${this.#waiting.bytes} bytes wait to be written already, and ${queueBytesMax} may`, {
          definite: true,
        }),
      );
    this.#waiting.add(pending);
    if (this.#queue.trySend(pending)) return;
    this.#queue.send(pending, pending.context).catch((error: unknown) => {
      if (this.#waiting.take(pending)) pending.reject(error);
    });
  }

  /** Takes no more, finishes what waits in the channel, and seals. Safe to repeat. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#queue.close();
    this.#endPause?.();
    await this.#running;
    this.#waiting.close();
    // A log that is not sealed opens all the same.
    if (this.#refusal === undefined) await this.#seal().catch(() => this.#cutBack());
  }

  async #run(): Promise<void> {
    for (;;) {
      let first = this.#heldOver;
      this.#heldOver = undefined;
      if (!first) {
        const { done, value } = await this.#queue.receive();
        if (done) return;
        if (!this.#waiting.take(value)) continue;
        first = value;
      }
      // Callers whose requests arrived in this turn of the event loop get to add theirs: one sync for all of them.
      await nextTurn();
      this.#batch.begin();
      this.#batch.add(first);
      this.#gather();
      if (this.#batch.staged.length > 0) await this.#commit();
    }
  }

  #gather(): void {
    for (let next = this.#queue.tryReceive(); next; next = this.#queue.tryReceive()) {
      const pending = next.value;
      if (!this.#waiting.take(pending)) continue;
      if (!this.#batch.hasRoomFor(pending)) {
        this.#heldOver = pending;
        return;
      }
      this.#batch.add(pending);
    }
  }

  async #commit(): Promise<void> {
    const batch = this.#batch;
    if (this.#refusal !== undefined) return batch.fail(this.#refusalError());
    const startedMs = performance.now();
    for (let written = false; !written;) {
      try {
        await this.#write();
        written = true;
      } catch (error) {
        // Once: a sync that failed would succeed the second time, and mean nothing.
        const cut = isNoSpace(error) && (await this.#cutBack());
        if (!cut || !(await this.#freeSpace())) return this.#onFailedWrite(error, cut);
      }
    }
    this.#settings.onBatch({ appends: batch.staged.length, bytes: batch.length, seconds: (performance.now() - startedMs) / 1_000 });
    this.#apply();
  }

  async #write(): Promise<void> {
    const batch = this.#batch;
    if (this.#store.mustRotate || this.#store.current.length + batch.length > this.#settings.segmentBytes) await this.#rotate();
    batch.finish(this.#store.nextBatch, this.#store.current.seed);
    this.#unsealed = true;
    await this.#store.append(batch.buffer, batch.length);
  }

  async #rotate(): Promise<void> {
    const firstRevision = this.#head() + 1;
    // A segment without a mutation bears that number already.
    if (this.#store.current.firstRevision !== firstRevision) await this.#store.rotate(firstRevision, this.#settings.clock.wallMs());
  }

  /** @param cut the write was taken back, durably */
  async #onFailedWrite(error: unknown, cut: boolean): Promise<void> {
    if (cut) {
      this.#batch.fail(
        new DiptychError('STORAGE_FULL', 'no space is left on the disk of the log; nothing of this was kept', { cause: error }),
      );
      return;
    }
    const { path } = this.#store.current;
    this.#settings.onWarning(
      `writing to ${path} failed (${reasonOf(error)}); no more is written until it has been opened and checked again`,
    );
    this.#batch.fail(
      new DiptychError('INTERNAL', `writing to the log failed; whether this append survives is not known`, { cause: error }),
    );
    await this.#recover();
  }

  async #cutBack(): Promise<boolean> {
    try {
      await this.#store.cut();
      return true;
    } catch {
      return false;
    }
  }

  /** Returns once the log can be written to again; when it is closing, after one attempt, with the refusal set if that failed. */
  async #recover(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const last = this.#closing;
      try {
        await this.#store.recover(this.#head() + 1, this.#settings.clock.wallMs());
        this.#settings.onWarning('the log is open for writing again; nothing acknowledged was lost');
        this.#refusal = undefined;
        return;
      } catch (error) {
        this.#refusal = `the log cannot be written to: ${callersReasonOf(error)} (${basename(this.#store.current.path)}); trying again`;
        this.#settings.onWarning(this.#refusal);
        this.#refuseQueued();
        if (last) return;
        await this.#pause(Math.min(RECOVERY_PAUSE_MS_MAX, RECOVERY_PAUSE_MS_MIN * 2 ** Math.min(attempt, 10)));
      }
    }
  }

  #refuseQueued(): void {
    this.#heldOver?.reject(this.#refusalError());
    this.#heldOver = undefined;
    for (let next = this.#queue.tryReceive(); next; next = this.#queue.tryReceive())
      if (this.#waiting.take(next.value)) next.value.reject(this.#refusalError());
  }

  #refusalError(): DiptychError {
    return new DiptychError('UNAVAILABLE', this.#refusal ?? 'the log is closed');
  }

  async #seal(): Promise<void> {
    if (!this.#unsealed) return;
    if (this.#store.mustRotate) {
      // What a later segment follows is as good as sealed.
      await this.#rotate();
      this.#unsealed = false;
      return;
    }
    const seal = Buffer.alloc(SEGMENT_HEADER_BYTES * 2);
    const length = encodeSeal(seal, 0);
    const head = this.#head();
    stampRecord(seal, 0, { revision: head, previous: head, wallMs: this.#settings.clock.wallMs(), existed: false });
    finishRecord(seal, 0, length, this.#store.nextBatch, true, this.#store.current.seed);
    await this.#store.append(seal, length);
    this.#unsealed = false;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closing) return resolve();
      const timer = this.#settings.clock.after(delayMs, () => resolve());
      this.#endPause = () => (timer[Symbol.dispose](), resolve());
    });
  }
}

const RECOVERY_PAUSE_MS_MIN = 100;
const RECOVERY_PAUSE_MS_MAX = 5_000;

/** Without a path of this machine: Node's messages name the file, and callers are told this. */
function callersReasonOf(error: unknown): string {
  return reasonOf(error).replaceAll(/(\/[^\s'"/]+)+\//g, '');
}
