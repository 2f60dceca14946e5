import type { DiptychError } from '@diptych/kernel';
import type { AppendBatch } from './append-batch.js';
import { AppendLine } from './append-line.js';
import { BatchPace } from './batch-pace.js';
import type { FileLogSettings } from './file-log-options.js';
import type { PendingAppend } from './pending-append.js';
import type { SegmentStore } from './segment-store.js';

/**
 * Stages what waits in line, in slices that give way to the rest of the process: each append is decided and encoded, so that the batch can be
 * written as soon as the disk is free. Batches take turns: while one is at the disk, or two are, another is staged.
 *
 * Until the disk takes them, staged appends count as waiting. When one of them is called off, or the batch before them fails, all are staged anew.
 */
export class BatchStager {
  readonly #settings: FileLogSettings;
  readonly #store: SegmentStore;
  readonly #onDue: () => void;
  readonly #line: AppendLine;
  readonly #pace: BatchPace;
  readonly #mayGoBehind: () => boolean;
  /** Is staged. */
  #next: AppendBatch;
  /** At the disk, oldest first, until they are applied or have failed. */
  readonly #atDisk: AppendBatch[] = [];
  readonly #spare: AppendBatch[];
  #diskIsFree = true;
  /** The next slice is staged in this turn of the event loop, or the next. */
  #staging = false;

  /**
   * @param options.batches empty, for nobody else
   * @param options.mayGoBehind whether the disk would take the staged batch behind the one that it has
   * @param options.onDue the disk takes a batch, and there is one that is worth it: take it with `submit`
   */
  constructor(options: {
    settings: FileLogSettings;
    store: SegmentStore;
    batches: readonly [AppendBatch, AppendBatch, AppendBatch];
    mayGoBehind: () => boolean;
    onDue: () => void;
  }) {
    this.#settings = options.settings;
    this.#store = options.store;
    this.#onDue = options.onDue;
    this.#mayGoBehind = options.mayGoBehind;
    [this.#next, ...this.#spare] = options.batches;
    const { channelCapacity, sendersMax, queueBytesMax, clock, pipelineAppendsMin, pipelineBytesMin } = options.settings;
    this.#pace = new BatchPace({ appendsMin: pipelineAppendsMin, bytesMin: pipelineBytesMin });
    this.#line = new AppendLine({
      clock,
      capacity: channelCapacity,
      sendersMax,
      bytesMax: queueBytesMax,
      onStagedEnded: () => {
        this.#stageAnew();
        this.#stageSoon();
      },
    });
  }

  /** Appends that wait, staged or not. */
  get size(): number {
    return this.#line.size;
  }

  /** Once the store stands where the first batch is to be written. */
  start(): void {
    this.#begin();
  }

  /** Takes the append, or says why not. */
  add(pending: PendingAppend): DiptychError | undefined {
    const refusal = this.#line.add(pending);
    if (!refusal) this.#stageSoon();
    return refusal;
  }

  /** The batch that is staged. */
  get next(): AppendBatch {
    return this.#next;
  }

  /** The batch that is due. Another one is staged from now on. */
  submit(): AppendBatch {
    const batch = this.#next;
    this.#diskIsFree = false;
    this.#line.takeStaged();
    this.#atDisk.push(batch);
    this.#next = this.#spare.pop()!;
    this.#begin();
    if (this.#line.unstaged > 0) this.#stageSoon();
    return batch;
  }

  /** The oldest batch at the disk was applied. Its appends are about to be answered. */
  onApplied(): void {
    this.#spare.push(this.#atDisk.shift()!);
    (this.#atDisk[0] ?? this.#next).onBeforeApplied();
  }

  /** The batches at the disk failed: what was staged after them rested on them. It was not written, so it is decided again, and so is what was not begun of them. */
  onFailed(notBegun: readonly AppendBatch[]): void {
    this.#spare.push(...this.#atDisk.splice(0));
    this.#line.putBack(notBegun.flatMap(({ members }) => members));
    this.#begin();
  }

  /** How long the last batch took at the disk, and until it was applied. */
  measure(diskMs: number, appends: number, applyMs: number): void {
    this.#pace.written(diskMs, appends, applyMs);
  }

  /**
   * Whether the next batch is due right now, after so many appends were answered. If those who were answered ask again sooner than the disk could be done,
   * they rather come along.
   */
  isDueAfter(answered: number): boolean {
    return this.#isWorthWriting(answered) && !this.#line.dropEnded();
  }

  /** The disk takes the next batch when it is due. */
  onDiskFree(): void {
    this.#diskIsFree = true;
    if (this.#line.size > 0) this.#stageSoon();
  }

  refuseAll(error: () => DiptychError): void {
    this.#line.refuseAll(error);
    this.#begin();
  }

  /** When nothing waits any more. */
  close(): void {
    this.#line.close();
  }

  /** Callers whose requests arrive in this turn of the event loop get to add theirs: one sync for all of them. */
  #stageSoon(): void {
    if (this.#staging) return;
    this.#staging = true;
    setImmediate(this.#stage);
  }

  readonly #stage = (): void => {
    this.#staging = false;
    const full = this.#stageSlice();
    const due = this.#diskIsFree ? this.#isDue(full) : this.#isWorthWriting(0) && this.#mayGoBehind();
    if (due && !this.#line.dropEnded()) this.#onDue();
    else if (!full && this.#line.unstaged > 0) this.#stageSoon();
  };

  /** True when the batch takes no more. */
  #stageSlice(): boolean {
    const line = this.#line;
    const batch = this.#next;
    const startedMs = this.#settings.clock.nowMs();
    batch.tick();
    const slice = line.upcoming(SLICE_APPENDS);
    const count = batch.prepare(slice, SLICE_BYTES);
    for (let pending = line.next, i = 0; pending && i < count; pending = line.next, i++) {
      if (batch.add(pending)) line.markStaged();
      else line.markAnswered(pending);
    }
    const full = count < slice.length && !batch.hasRoomFor(slice[count]!);
    this.#pace.staged(count, this.#settings.clock.nowMs() - startedMs);
    if (batch.members.length === 0) line.takeStaged();
    return full;
  }

  /** The disk is free: whether to write what is staged, rather than to stage more of what waits first. */
  #isDue(full: boolean): boolean {
    if (this.#next.members.length === 0) return false;
    return full || this.#line.unstaged === 0 || this.#isWorthWriting(0);
  }

  /** @param answered who have just been, and may append again */
  #isWorthWriting(answered: number): boolean {
    const { staged, length } = this.#next;
    let inPlay = this.#line.size + answered;
    for (const batch of this.#atDisk) inPlay += batch.staged.length;
    return this.#pace.isWorthWriting(staged.length, length, inPlay);
  }

  #begin(): void {
    const before = this.#atDisk.at(-1);
    this.#next.begin(before ? before.number + 1 : this.#store.nextBatch, before);
  }

  #stageAnew(): void {
    this.#line.unstage();
    this.#begin();
  }
}

/** Staged in one turn of the event loop: about a tenth of a millisecond. */
const SLICE_APPENDS = 64;
const SLICE_BYTES = 256 * 1024;
