import type { CallContext } from './call-context.js';
import type { Clock } from './clock.js';
import { systemClock } from './clock.js';
import { DiptychError } from './errors.js';

/**
 * One timer for any number of deadlines. Deadlines are rounded up to the next tick, so none fires early and each fires at
 * most one tick (plus the delay of the event loop) late. The timer runs only while something waits, and holds the process
 * open just then.
 *
 * A hashed wheel (Varghese and Lauck, 1987) with one slot a tick: start and stop are O(1), and an entry whose deadline is
 * more than one turn away simply stays in its slot.
 */
export class DeadlineWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: Array<Set<Entry>>;
  #timer: Disposable | undefined;
  #doneTick: number;
  #size = 0;

  constructor(options: { clock?: Clock; tickMs?: number; slots?: number } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#tickMs = options.tickMs ?? 5;
    this.#slots = Array.from({ length: options.slots ?? 1024 }, () => new Set<Entry>());
    this.#doneTick = this.#tickOf(this.#clock.nowMs());
  }

  /** Deadlines now waiting. */
  get size(): number {
    return this.#size;
  }

  /** Calls `callback` once at or after `deadlineMs`, unless disposed before. `callback` must not throw. */
  at(deadlineMs: number, callback: () => void): Disposable {
    if (this.#size === 0) this.#doneTick = this.#tickOf(this.#clock.nowMs());
    const tick = Math.max(Math.ceil(deadlineMs / this.#tickMs), this.#doneTick + 1);
    const slot = this.#slots[tick % this.#slots.length]!;
    const entry: Entry = { tick, callback };
    slot.add(entry);
    this.#size++;
    this.#timer ??= this.#clock.every(this.#tickMs, () => this.#turn());
    return { [Symbol.dispose]: () => this.#drop(slot, entry) };
  }

  #tickOf(nowMs: number): number {
    return Math.floor(nowMs / this.#tickMs);
  }

  #turn(): void {
    const nowTick = this.#tickOf(this.#clock.nowMs());
    // After a long stall every slot is visited once, however many turns were missed.
    const first = Math.max(this.#doneTick + 1, nowTick - this.#slots.length + 1);
    this.#doneTick = Math.max(nowTick, this.#doneTick);
    for (let tick = first; tick <= nowTick; tick++) {
      const slot = this.#slots[tick % this.#slots.length]!;
      for (const entry of slot) {
        if (entry.tick > nowTick) continue;
        this.#drop(slot, entry);
        entry.callback();
      }
    }
  }

  #drop(slot: Set<Entry>, entry: Entry): void {
    if (!slot.delete(entry)) return;
    this.#size--;
    if (this.#size > 0) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
}

interface Entry {
  readonly tick: number;
  readonly callback: () => void;
}

/** The wheel of this process. */
export const deadlines = new DeadlineWheel();

/**
 * The result of `work`, unless the context ends first. The work itself is not stopped by this: whoever does it watches the
 * context's signal or deadline. Its late result is dropped.
 *
 * @param what names the work in the error, for example `log.append`
 * @throws DEADLINE_EXCEEDED or CANCELLED, both indefinite: the work may still happen
 */
export function settleWithin<T>(work: Promise<T>, context: CallContext, what: string, wheel: DeadlineWheel = deadlines): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const { signal } = context;
    const release = () => {
      timer[Symbol.dispose]();
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = () => {
      release();
      reject(new DiptychError('CANCELLED', `${what} was cancelled; it may still happen`, { cause: signal?.reason }));
    };
    const timer = wheel.at(context.deadlineMs, () => {
      release();
      reject(new DiptychError('DEADLINE_EXCEEDED', `${what} did not answer before its deadline`));
    });
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    work.then(
      (value) => {
        release();
        resolve(value);
      },
      (error: unknown) => {
        release();
        reject(error as Error);
      },
    );
  });
}
