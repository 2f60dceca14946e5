import type { Clock } from '@diptych/kernel';
import { DiptychError, assertAlive, isStopped } from '@diptych/kernel';
import type { PendingAppend } from './pending-append.js';

/**
 * The appends that are not at the disk yet, in order of arrival: a bounded channel with those in front of it who wait for room. The first of them may be
 * staged in a batch already; they count all the same until the disk takes it, so staging makes no room.
 *
 *   first ──── staged ────▶ ──── not yet ────▶ end
 *
 * When the context of one ends it is answered, soon, and its value let go of, however long the disk still takes. One timer for all, rather than a deadline
 * each, because most wait for one sync alone.
 */
export class AppendLine {
  readonly #clock: Clock;
  readonly #capacity: number;
  readonly #sendersMax: number;
  readonly #bytesMax: number;
  /** Those that were answered stay in it until all before them have left. */
  #line: PendingAppend[] = [];
  #first = 0;
  #stagedEnd = 0;
  #size = 0;
  #unstaged = 0;
  #bytes = 0;
  #sweep: Disposable | undefined;
  readonly #onStagedEnded: () => void;

  /**
   * @param options.capacity appends inside the channel
   * @param options.sendersMax who may wait for room in it
   * @param options.bytesMax of all of them as records; one alone may have more
   * @param options.onStagedEnded the context of one ended that is staged
   */
  constructor(options: { clock: Clock; capacity: number; sendersMax: number; bytesMax: number; onStagedEnded: () => void }) {
    this.#clock = options.clock;
    this.#capacity = options.capacity;
    this.#sendersMax = options.sendersMax;
    this.#bytesMax = options.bytesMax;
    this.#onStagedEnded = options.onStagedEnded;
  }

  /** That wait, staged or not. */
  get size(): number {
    return this.#size;
  }

  get unstaged(): number {
    return this.#unstaged;
  }

  /** Takes the append, or says why not. */
  add(pending: PendingAppend): DiptychError | undefined {
    if (this.#size > 0) {
      if (this.#size >= this.#capacity + this.#sendersMax)
        return refused(`the channel of ${this.#capacity} appends is full and ${this.#sendersMax} senders wait already`);
      if (this.#bytes + pending.bytesBound > this.#bytesMax)
        return refused(`${this.#bytes} bytes wait to be written already, and ${this.#bytesMax} may`);
    }
    this.#line.push(pending);
    this.#size++;
    this.#unstaged++;
    this.#bytes += pending.bytesBound;
    if (!this.#sweep) this.#sweepLater();
    return undefined;
  }

  /** The first that is not staged; `markStaged` or `answered` has to follow. Undefined when all are. */
  get next(): PendingAppend | undefined {
    const line = this.#line;
    while (this.#stagedEnd < line.length && !line[this.#stagedEnd]!.waiting) this.#stagedEnd++;
    return line[this.#stagedEnd];
  }

  /** The first that are not staged, up to so many. */
  upcoming(countMax: number): PendingAppend[] {
    const upcoming: PendingAppend[] = [];
    for (let i = this.#stagedEnd; i < this.#line.length && upcoming.length < countMax; i++)
      if (this.#line[i]!.waiting) upcoming.push(this.#line[i]!);
    return upcoming;
  }

  markStaged(): void {
    this.#stagedEnd++;
    this.#unstaged--;
  }

  /** `next` was answered instead of staged. */
  markAnswered(pending: PendingAppend): void {
    this.markStaged();
    this.#leave(pending);
  }

  /** Nothing is staged any more. */
  unstage(): void {
    this.#stagedEnd = this.#first;
    this.#unstaged = this.#size;
  }

  /** Answers those whose context has ended, if one of them is staged. Then true: what is staged is to be staged anew. */
  dropEnded(): boolean {
    const nowMs = this.#clock.nowMs();
    for (let i = this.#first; i < this.#stagedEnd; i++) {
      const { waiting, context } = this.#line[i]!;
      if (!waiting || (nowMs < context.deadlineMs && !isStopped(context))) continue;
      this.#answerEnded();
      return true;
    }
    return false;
  }

  /** All that were staged leave the line, for whoever staged them to answer. */
  takeStaged(): void {
    const line = this.#line;
    for (; this.#first < this.#stagedEnd; this.#first++) {
      const pending = line[this.#first]!;
      if (pending.waiting) this.#leave(pending);
      else pending.release();
    }
    if (this.#first === line.length) this.#line = [];
    else if (this.#first < SLICE_MIN || this.#first * 2 < line.length) return;
    else this.#line = line.slice(this.#first);
    this.#first = this.#stagedEnd = 0;
  }

  /** Back to the front of the line, not staged: what had taken them was not done. */
  putBack(appends: readonly PendingAppend[]): void {
    this.#line = [...appends, ...this.#line.slice(this.#first)];
    for (const pending of appends) {
      pending.waiting = true;
      this.#size++;
      this.#bytes += pending.bytesBound;
    }
    this.#first = 0;
    this.unstage();
    if (this.#size > 0 && !this.#sweep) this.#sweepLater();
  }

  /** Empties the line: everyone in it is refused with this. */
  refuseAll(error: () => DiptychError): void {
    this.#stagedEnd = this.#line.length;
    for (let i = this.#first; i < this.#stagedEnd; i++) {
      const pending = this.#line[i]!;
      if (!pending.waiting) continue;
      this.#leave(pending);
      pending.reject(error());
    }
    this.#unstaged = 0;
    this.takeStaged();
  }

  close(): void {
    this.#sweep?.[Symbol.dispose]();
    this.#sweep = undefined;
  }

  #leave(pending: PendingAppend): void {
    pending.waiting = false;
    this.#size--;
    this.#bytes -= pending.bytesBound;
  }

  #answerEnded(): void {
    let stagedEnded = false;
    for (let i = this.#first; i < this.#line.length; i++) {
      const pending = this.#line[i]!;
      if (!pending.waiting) continue;
      try {
        assertAlive(pending.context, this.#clock);
      } catch (error) {
        this.#leave(pending);
        if (i < this.#stagedEnd) stagedEnded = true;
        else this.#unstaged--;
        pending.reject(error);
        pending.letGo();
      }
    }
    if (stagedEnded) this.#onStagedEnded();
  }

  #sweepLater(): void {
    this.#sweep = this.#clock.after(SWEEP_MS, () => this.#sweepNow(), { unref: true });
  }

  #sweepNow(): void {
    this.#sweep = undefined;
    this.#answerEnded();
    if (this.#size > 0) this.#sweepLater();
  }
}

function refused(message: string): DiptychError {
  return new DiptychError('OVERLOADED', message, { definite: true });
}

const SWEEP_MS = 50;
const SLICE_MIN = 1_024;
