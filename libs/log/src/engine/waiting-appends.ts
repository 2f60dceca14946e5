import type { Clock } from '@diptych/kernel';
import { assertAlive } from '@diptych/kernel';
import type { PendingAppend } from './append-batch.js';

/** An append in the queue; empty once it has been taken, or answered because its context ended. */
export interface WaitingAppend {
  pending: PendingAppend | undefined;
  readonly bytes: number;
}

/**
 * The appends that wait, and their bytes. When the context of one ends it is answered, soon, and its value let go of, however long
 * the writer still takes. One timer for all, rather than a deadline each, because most wait for one sync alone.
 */
export class WaitingAppends {
  readonly #clock: Clock;
  readonly #waiting = new Set<WaitingAppend>();
  #bytes = 0;
  #sweep: Disposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(pending: PendingAppend, bytes: number): WaitingAppend {
    const waiting = { pending, bytes };
    this.#waiting.add(waiting);
    this.#bytes += bytes;
    this.#sweep ??= this.#clock.after(SWEEP_MS, () => this.#answerEnded(), { unref: true });
    return waiting;
  }

  /** The append, for whoever answers it; undefined when it has been taken or answered. */
  take(waiting: WaitingAppend): PendingAppend | undefined {
    const { pending } = waiting;
    if (!pending) return undefined;
    waiting.pending = undefined;
    this.#waiting.delete(waiting);
    this.#bytes -= waiting.bytes;
    return pending;
  }

  close(): void {
    this.#sweep?.[Symbol.dispose]();
    this.#sweep = undefined;
  }

  #answerEnded(): void {
    for (const waiting of this.#waiting) {
      try {
        assertAlive(waiting.pending!.context, this.#clock);
      } catch (error) {
        this.take(waiting)?.reject(error);
      }
    }
    this.#sweep = this.#waiting.size > 0 ? this.#clock.after(SWEEP_MS, () => this.#answerEnded(), { unref: true }) : undefined;
  }
}

const SWEEP_MS = 50;
