import type { Clock } from '@diptych/kernel';
import { assertAlive } from '@diptych/kernel';
import type { PendingAppend } from './pending-append.js';

/**
 * The appends that wait, and their bytes. When the context of one ends it is answered, soon, and its value let go of, however long
 * the writer still takes. One timer for all, rather than a deadline each, because most wait for one sync alone.
 */
export class WaitingAppends {
  readonly #clock: Clock;
  /** In order of arrival, which is that of leaving but for a few: from `#first` on, with those that left among them. */
  #line: Array<PendingAppend | undefined> = [];
  #first = 0;
  #bytes = 0;
  #sweep: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(pending: PendingAppend): void {
    pending.inLine = true;
    this.#line.push(pending);
    this.#bytes += pending.bytesBound;
    this.#sweep ??= this.#clock.after(SWEEP_MS, () => this.#answerEnded(), { unref: true });
  }

  /** True for one alone: it is for whoever asked to answer. False when it has been taken or answered. */
  take(pending: PendingAppend): boolean {
    if (!pending.waiting) return false;
    pending.waiting = false;
    this.#bytes -= pending.bytesBound;
    this.#dropTaken();
    return true;
  }

  close(): void {
    this.#sweep?.[Symbol.dispose]();
    this.#sweep = undefined;
  }

  #dropTaken(): void {
    const line = this.#line;
    for (let first; this.#first < line.length && !(first = line[this.#first]!).waiting; line[this.#first++] = undefined)
      first.inLine = false;
    if (this.#first === line.length) this.#line = [];
    else if (this.#first < 1_024 || this.#first * 2 < line.length) return;
    else this.#line = line.slice(this.#first);
    this.#first = 0;
  }

  #answerEnded(): void {
    for (const pending of this.#line.slice(this.#first)) {
      if (!pending!.waiting) continue;
      try {
        assertAlive(pending!.context, this.#clock);
      } catch (error) {
        this.take(pending!);
        pending!.reject(error);
        pending!.letGo();
      }
    }
    this.#sweep = this.#line.length > 0 ? this.#clock.after(SWEEP_MS, () => this.#answerEnded(), { unref: true }) : undefined;
  }
}

const SWEEP_MS = 50;
