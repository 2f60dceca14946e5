import { basename } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DiptychError } from '@diptych/kernel';
import type { AppendBatch } from './append-batch.js';
import { BatchStager } from './batch-stager.js';
import { byteBlock } from './byte-block.js';
import { NotBegun } from './commit-thread.js';
import { reasonOf } from './directory.js';
import type { BatchMeasure, FileLogSettings } from './file-log-options.js';
import type { PendingAppend } from './pending-append.js';
import type { Appended } from './segment-end.js';
import type { SegmentStore } from './segment-store.js';
import { isNoSpace } from './file-system.js';
import { encodeSeal, markBatch, stampRecord } from './record.js';
import { RECORD_HEAD_BYTES } from './record-layout.js';

/**
 * Writes what is appended, one batch at a time: all of a batch with one write and one sync, then it is applied and answered. Group commit.
 *
 *   line ──slices──▶ staged ──disk is free──▶ at the disk ──synced──▶ applied, answered
 *     ▲                │
 *     └──staged anew───┘ when one at the disk failed
 *
 * A second batch may wait at the disk behind the first, so that the disk never waits for the event loop. When the first fails it is not begun, and staged anew.
 *
 *   writing ──EIO and the like──▶ recovering ──reopened──▶ writing
 *      ▲                              │
 *      │                       could not reopen
 *      └──reopened── refusing ◀───────┘          (tries again with backoff)
 */
export class LogWriter {
  readonly #settings: FileLogSettings;
  readonly #store: SegmentStore;
  readonly #head: () => number;
  readonly #apply: (batch: AppendBatch, written: Appended) => void;
  readonly #freeSpace: () => Promise<boolean>;
  readonly #stager: BatchStager;
  /** What the disk was given, oldest first: one, or another behind it. */
  readonly #attempts: Attempt[] = [];
  /** Until the disk is free again. */
  #writing: Promise<void> | undefined;
  #refusal: string | undefined;
  /** Since the last seal something was written. */
  #unsealed: boolean;
  #closing = false;
  #endPause: (() => void) | undefined;

  /**
   * @param options.batches empty, for nobody else
   * @param options.freeSpace gives back disk space that others took for a while; false when there is none
   * @param options.apply makes the batch visible, as it was written; runs right after the sync, in one synchronous step with the answers
   */
  constructor(options: {
    settings: FileLogSettings;
    store: SegmentStore;
    batches: readonly [AppendBatch, AppendBatch, AppendBatch];
    head: () => number;
    apply: (batch: AppendBatch, written: Appended) => void;
    unsealed: boolean;
    freeSpace: () => Promise<boolean>;
  }) {
    this.#settings = options.settings;
    this.#store = options.store;
    this.#head = options.head;
    this.#apply = options.apply;
    this.#unsealed = options.unsealed;
    this.#freeSpace = options.freeSpace;
    this.#stager = new BatchStager({ ...options, mayGoBehind: () => this.#mayHandOverAnother(), onDue: () => this.#begin() });
  }

  /** Why appends are refused; undefined while they are taken. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  get queued(): number {
    return this.#stager.size;
  }

  /** Seals what was replayed, so that damage to it is told from a torn tail from now on; then appends may come. */
  async start(): Promise<void> {
    try {
      await this.#seal();
    } catch (error) {
      // A full disk keeps nobody from reading.
      if (!isNoSpace(error)) throw error;
      await this.#store.cut();
    }
    this.#stager.start();
  }

  /** Answers through the pending append, whatever happens. One whose context ends while it waits is answered then, and let go of. */
  append(pending: PendingAppend): void {
    if (this.#refusal !== undefined || this.#closing) return pending.reject(this.#refusalError());
    const overloaded = this.#stager.add(pending);
    if (overloaded) pending.reject(overloaded);
  }

  /** Takes no more, finishes what waits, and seals. Safe to repeat. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#endPause?.();
    while (this.#writing || this.#stager.size > 0) await (this.#writing ?? nextTurn());
    this.#stager.close();
    // A log that is not sealed opens all the same.
    if (this.#refusal === undefined) await this.#seal().catch(() => this.#cutBack());
  }

  #begin(): void {
    this.#handOver();
    this.#writing ??= this.#settle().finally(() => (this.#writing = undefined));
  }

  /** Applies and answers what the disk was given, in that order, and gives it more as long as that is due. */
  async #settle(): Promise<void> {
    const stager = this.#stager;
    for (let attempt = this.#attempts[0]; attempt; attempt = this.#attempts[0]) {
      const written = await this.#outcome(attempt);
      if (!written) break;
      this.#attempts.shift();
      const { batch } = attempt;
      const appends = batch.staged.length;
      // Before the batch is applied, so that the disk need not wait for that.
      if (this.#attempts.length === 0 && !this.#mustRotateFor(stager.next) && stager.isDueAfter(0)) this.#handOver();
      const writtenMs = this.#settings.clock.nowMs();
      if (appends > 0) this.#apply(batch, written);
      stager.onApplied();
      batch.succeed();
      if (appends > 0) {
        stager.measure(written.diskMs, appends, this.#settings.clock.nowMs() - writtenMs);
        this.#tell({ appends, bytes: batch.length, seconds: written.diskMs / 1_000 });
      }
      if ((this.#attempts.length === 0 || this.#mayHandOverAnother()) && stager.isDueAfter(appends)) this.#handOver();
    }
    stager.onDiskFree();
  }

  /** The staged batch may go behind the one that is at the disk. */
  #mayHandOverAnother(): boolean {
    return this.#attempts.length === 1 && this.#store.takesAnother && !this.#mustRotateFor(this.#stager.next);
  }

  /** A batch with no record of its own waited for the batch before it, and is durable with that. */
  #handOver(): void {
    const batch = this.#stager.submit();
    const nothing = { block: batch.block, hasRoom: true, position: 0, diskMs: 0 };
    const written = batch.staged.length > 0 ? this.#writeBatch(batch) : Promise.resolve(nothing);
    // Those behind one that fails are looked at when that has been dealt with.
    written.catch(() => undefined);
    this.#attempts.push({ batch, written });
  }

  /** Of the oldest that the disk was given; undefined when it failed and was answered, and nothing is at the disk any more. */
  async #outcome({ batch, written }: Attempt): Promise<Appended | undefined> {
    for (let tried = written; ; tried = this.#writeBatch(batch)) {
      try {
        return await tried;
      } catch (error) {
        await Promise.allSettled(this.#attempts.map((each) => each.written));
        // The one before it has been written after all.
        if (error instanceof NotBegun) continue;
        // Once: a sync that failed would succeed the second time, and mean nothing.
        const cut = isNoSpace(error) && (await this.#cutBack());
        if (cut && (await this.#freeSpace())) continue;
        await this.#onFailedWrite(error, cut);
        return undefined;
      }
    }
  }

  /** Who measures keeps nobody from their answer. */
  #tell(measure: BatchMeasure): void {
    try {
      this.#settings.onBatch(measure);
    } catch (error) {
      this.#settings.onWarning(`measuring a batch failed: ${String(error)}`);
    }
  }

  async #writeBatch(batch: AppendBatch): Promise<Appended> {
    if (this.#mustRotateFor(batch)) await this.#rotate();
    batch.finish(this.#store.nextBatch);
    this.#unsealed = true;
    return this.#store.append(batch.block, batch.length);
  }

  #mustRotateFor(batch: AppendBatch): boolean {
    return this.#store.mustRotate || this.#store.end + batch.length > this.#settings.segmentBytes;
  }

  async #rotate(): Promise<void> {
    const firstRevision = this.#head() + 1;
    // A segment without a mutation bears that number already.
    if (this.#store.current.firstRevision !== firstRevision) await this.#store.rotate(firstRevision, this.#settings.clock.wallMs());
  }

  /** Answers what the disk was given, but what it did not begin with. @param cut the write was taken back, durably */
  async #onFailedWrite(error: unknown, cut: boolean): Promise<void> {
    const full = 'no space is left on the disk of the log; nothing of this was kept';
    const unknown = 'writing to the log failed; whether this append survives is not known';
    const failure = cut
      ? new DiptychError('STORAGE_FULL', full, { cause: error })
      : new DiptychError('INTERNAL', unknown, { cause: error });
    const { path } = this.#store.current;
    if (!cut)
      this.#settings.onWarning(
        `writing to ${path} failed (${reasonOf(error)}); no more is written until it has been opened and checked again`,
      );
    const [oldest, ...behind] = this.#attempts.splice(0);
    const outcomes = await Promise.allSettled(behind.map(({ written }) => written));
    const notBegun = behind.filter((_, i) => (outcomes[i] as PromiseRejectedResult).reason instanceof NotBegun);
    this.#stager.onFailed(notBegun.map(({ batch }) => batch));
    for (const { batch } of [oldest!, ...behind.filter((attempt) => !notBegun.includes(attempt))]) batch.fail(failure);
    if (!cut) await this.#recover();
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
    this.#stager.refuseAll(() => this.#refusalError());
  }

  #refusalError(): DiptychError {
    return new DiptychError('UNAVAILABLE', this.#refusal ?? 'the log is closed');
  }

  async #seal(): Promise<void> {
    if (this.#store.mustRotate) {
      // What a later segment follows is as good as sealed, and its header says for good what was left out.
      await this.#rotate();
      this.#unsealed = false;
    }
    // A crash may have left the seal, and the room that it was to take away.
    if (!this.#unsealed) return this.#store.giveRoomBack();
    const seal = byteBlock(RECORD_HEAD_BYTES);
    const length = encodeSeal(seal, 0);
    const head = this.#head();
    stampRecord(seal, 0, head, head, this.#settings.clock.wallMs(), false);
    markBatch(seal, 0, this.#store.nextBatch, true);
    await this.#store.append(seal, length, 'cut');
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

/** A batch that was given to the disk. */
interface Attempt {
  readonly batch: AppendBatch;
  readonly written: Promise<Appended>;
}

const RECOVERY_PAUSE_MS_MIN = 100;
const RECOVERY_PAUSE_MS_MAX = 5_000;

/** Without a path of this machine: Node's messages name the file, and callers are told this. */
function callersReasonOf(error: unknown): string {
  return reasonOf(error).replaceAll(/(\/[^\s'"/]+)+\//g, '');
}
