import { basename } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DiptychError } from '@diptych/kernel';
import type { AppendBatch } from './append-batch.js';
import { BatchStager } from './batch-stager.js';
import type { ByteBlock } from './byte-block.js';
import { byteBlock } from './byte-block.js';
import { reasonOf } from './directory.js';
import type { BatchMeasure, FileLogSettings } from './file-log-options.js';
import type { PendingAppend } from './pending-append.js';
import type { SegmentStore } from './segment-store.js';
import { isNoSpace } from './file-system.js';
import { encodeSeal, markBatch, stampRecord } from './record.js';
import { RECORD_HEAD_BYTES } from './record-layout.js';

/**
 * Writes what is appended, one batch at a time: all of a batch with one write and one sync, then it is applied and answered. Group commit.
 *
 *   line ──slices──▶ staged ──disk is free──▶ at the disk ──synced──▶ applied, answered
 *     ▲                │                          │
 *     └──staged anew───┴──────────failed──────────┘
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
  readonly #apply: (batch: AppendBatch, written: DataView) => void;
  readonly #freeSpace: () => Promise<boolean>;
  readonly #stager: BatchStager;
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
   * @param options.apply makes the batch visible, whose records lie in the view as they were written; runs right after the sync, in one synchronous step with the answers
   */
  constructor(options: {
    settings: FileLogSettings;
    store: SegmentStore;
    batches: readonly [AppendBatch, AppendBatch];
    head: () => number;
    apply: (batch: AppendBatch, written: DataView) => void;
    unsealed: boolean;
    freeSpace: () => Promise<boolean>;
  }) {
    this.#settings = options.settings;
    this.#store = options.store;
    this.#head = options.head;
    this.#apply = options.apply;
    this.#unsealed = options.unsealed;
    this.#freeSpace = options.freeSpace;
    this.#stager = new BatchStager({ ...options, onDue: () => this.#begin() });
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
    this.#writing = this.#write().finally(() => (this.#writing = undefined));
  }

  /** One batch after the other, as long as they are due. */
  async #write(): Promise<void> {
    const stager = this.#stager;
    let attempt: Attempt | undefined = this.#attempt(stager.submit());
    while (attempt) {
      const { batch } = attempt;
      const written: Written | undefined = await this.#outcome(attempt);
      if (!written) break;
      const appends = batch.staged.length;
      const due = stager.isDueAfter(appends);
      // The disk has the next batch before this one is applied, so that it need not wait for that.
      attempt = due && !this.#mustRotateFor(stager.next) ? this.#attempt(stager.next) : undefined;
      const startedMs = this.#settings.clock.nowMs();
      if (appends > 0) this.#apply(batch, written.block.view);
      stager.onApplied();
      batch.succeed();
      if (appends > 0) {
        stager.measure(written.diskMs, appends, this.#settings.clock.nowMs() - startedMs);
        this.#tell({ appends, bytes: batch.length, seconds: written.diskMs / 1_000 });
      }
      if (!due) break;
      const next = stager.submit();
      attempt ??= this.#attempt(next);
    }
    stager.onDiskFree();
  }

  /** A batch with no record of its own waited for the batch before it, and is durable with that. */
  #attempt(batch: AppendBatch): Attempt {
    const startedMs = this.#settings.clock.nowMs();
    return { batch, startedMs, written: batch.staged.length > 0 ? this.#writeBatch(batch) : Promise.resolve(batch.block) };
  }

  /** Of a batch that is durable; undefined when it failed and was answered. */
  async #outcome({ batch, startedMs, written }: Attempt): Promise<Written | undefined> {
    for (let tried = written; ; tried = this.#writeBatch(batch)) {
      try {
        return { block: await tried, diskMs: this.#settings.clock.nowMs() - startedMs };
      } catch (error) {
        // Once: a sync that failed would succeed the second time, and mean nothing.
        const cut = isNoSpace(error) && (await this.#cutBack());
        if (cut && (await this.#freeSpace())) continue;
        await this.#onFailedWrite(batch, error, cut);
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

  async #writeBatch(batch: AppendBatch): Promise<ByteBlock> {
    if (this.#mustRotateFor(batch)) await this.#rotate();
    batch.finish(this.#store.nextBatch);
    this.#unsealed = true;
    return this.#store.append(batch.block, batch.length);
  }

  #mustRotateFor(batch: AppendBatch): boolean {
    return this.#store.mustRotate || this.#store.current.length + batch.length > this.#settings.segmentBytes;
  }

  async #rotate(): Promise<void> {
    const firstRevision = this.#head() + 1;
    // A segment without a mutation bears that number already.
    if (this.#store.current.firstRevision !== firstRevision) await this.#store.rotate(firstRevision, this.#settings.clock.wallMs());
  }

  /** @param cut the write was taken back, durably */
  async #onFailedWrite(batch: AppendBatch, error: unknown, cut: boolean): Promise<void> {
    if (cut) {
      this.#fail(
        batch,
        new DiptychError('STORAGE_FULL', 'no space is left on the disk of the log; nothing of this was kept', { cause: error }),
      );
      return;
    }
    const { path } = this.#store.current;
    this.#settings.onWarning(
      `writing to ${path} failed (${reasonOf(error)}); no more is written until it has been opened and checked again`,
    );
    this.#fail(
      batch,
      new DiptychError('INTERNAL', `writing to the log failed; whether this append survives is not known`, { cause: error }),
    );
    await this.#recover();
  }

  #fail(batch: AppendBatch, error: DiptychError): void {
    this.#stager.onFailed();
    batch.fail(error);
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
  readonly startedMs: number;
  readonly written: Promise<ByteBlock>;
}

interface Written {
  /** The records as they were written. */
  readonly block: ByteBlock;
  readonly diskMs: number;
}

const RECOVERY_PAUSE_MS_MIN = 100;
const RECOVERY_PAUSE_MS_MAX = 5_000;

/** Without a path of this machine: Node's messages name the file, and callers are told this. */
function callersReasonOf(error: unknown): string {
  return reasonOf(error).replaceAll(/(\/[^\s'"/]+)+\//g, '');
}
