import type { CallContext } from './call-context.js';
import type { Clock } from './clock.js';
import { systemClock } from './clock.js';
import { DiptychError } from './errors.js';

/**
 * One timer for any number of deadlines. None fires early, and each fires at most one tick (plus the delay of the event
 * loop) late. The timer runs only while something waits, and holds the process open just then.
 *
 * A hashed wheel (Varghese and Lauck, 1987) with one slot a tick: start and stop are O(1), and an entry whose deadline is
 * more than one turn away simply stays in its slot until the turn that finds it due.
 */
export class DeadlineWheel {
  /** Deadlines are instants of this clock. */
  readonly clock: Clock;
  readonly #tickMs: number;
  readonly #slots: Array<Set<Entry>>;
  #timer: Disposable | undefined;
  /** Slots of earlier ticks hold nothing that is due; the slot of this one is looked at again. */
  #tick = 0;
  #size = 0;

  constructor(options: { clock?: Clock; tickMs?: number; slots?: number } = {}) {
    const { clock = systemClock, tickMs = 5, slots = 1024 } = options;
    if (!(tickMs > 0)) throw new RangeError(`tickMs must be more than 0, is ${tickMs}`);
    if (!Number.isSafeInteger(slots) || slots < 1) throw new RangeError(`slots must be a whole number of 1 or more, is ${slots}`);
    this.clock = clock;
    this.#tickMs = tickMs;
    this.#slots = Array.from({ length: slots }, () => new Set<Entry>());
  }

  /** Deadlines now waiting. */
  get size(): number {
    return this.#size;
  }

  /**
   * Calls `callback` once at or after `deadlineMs`, unless disposed before; never inside this call. What a callback throws
   * surfaces as an uncaught exception and holds up no other deadline.
   *
   * @throws RangeError when `deadlineMs` is not finite
   */
  at(deadlineMs: number, callback: () => void): Disposable {
    if (!Number.isFinite(deadlineMs)) throw new RangeError(`deadlineMs must be finite, is ${deadlineMs}`);
    const slot = this.#slots[Math.max(this.#tickOf(deadlineMs), this.#tick) % this.#slots.length]!;
    const entry: Entry = { deadlineMs, callback, slot, [Symbol.dispose]: () => this.#drop(entry) };
    slot.add(entry);
    this.#size++;
    this.#timer ??= this.clock.every(this.#tickMs, () => this.#turn());
    return entry;
  }

  #tickOf(instantMs: number): number {
    return Math.floor(instantMs / this.#tickMs);
  }

  #turn(): void {
    for (const entry of this.#takeDue(this.clock.nowMs())) {
      // The callback of another may have disposed it meanwhile.
      if (!this.#drop(entry)) continue;
      try {
        entry.callback();
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** What is due is gathered before any callback runs, so that a callback which sets a past deadline waits for the next turn. */
  #takeDue(nowMs: number): Entry[] {
    const due: Entry[] = [];
    const nowTick = this.#tickOf(nowMs);
    // After a long stall or an idle time every slot is visited once, however many turns were missed.
    const first = Math.max(this.#tick, nowTick - this.#slots.length + 1);
    for (let tick = first; tick <= nowTick; tick++) {
      for (const entry of this.#slots[tick % this.#slots.length]!) if (entry.deadlineMs <= nowMs) due.push(entry);
    }
    this.#tick = nowTick;
    return due;
  }

  #drop(entry: Entry): boolean {
    if (!entry.slot.delete(entry)) return false;
    this.#size--;
    if (this.#size === 0) {
      this.#timer?.[Symbol.dispose]();
      this.#timer = undefined;
    }
    return true;
  }
}

interface Entry extends Disposable {
  readonly deadlineMs: number;
  readonly callback: () => void;
  readonly slot: Set<Entry>;
}

/** The wheel of this process. */
export const deadlines = new DeadlineWheel();

/**
 * Calls `callback` once when a context ends, with the reason as an error code; `cause` is what the signal was aborted with.
 * The returned function calls it off, and must be called when the wait is over: it removes the deadline and the listener
 * on the signal. The signal must not be aborted yet (`assertAlive`).
 *
 * A signal shared by n waiting calls costs O(n) a call in Node's EventTarget (about 6 µs at 2,000), so give calls that wait
 * in thousands a signal of their own.
 *
 * @throws RangeError when the deadline is not finite
 */
export function onContextEnd(
  context: CallContext,
  callback: (code: 'CANCELLED' | 'DEADLINE_EXCEEDED', cause?: unknown) => void,
  wheel: DeadlineWheel = deadlines,
): () => void {
  const { signal } = context;
  const timer = wheel.at(context.deadlineMs, () => {
    callOff();
    callback('DEADLINE_EXCEEDED');
  });
  const onAbort = () => {
    callOff();
    callback('CANCELLED', signal?.reason);
  };
  const callOff = () => {
    timer[Symbol.dispose]();
    signal?.removeEventListener('abort', onAbort);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  return callOff;
}

/**
 * The result of `work`, unless the context ends first. The work itself is not stopped by this: whoever does it watches the
 * context's signal or deadline. Its late result is dropped, a late rejection too.
 *
 * @param what names the work in the error, for example `log.append`
 * @throws DEADLINE_EXCEEDED or CANCELLED, both indefinite: the work may still happen
 */
export function settleWithin<T>(work: Promise<T>, context: CallContext, what: string, wheel: DeadlineWheel = deadlines): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const fail = (code: 'CANCELLED' | 'DEADLINE_EXCEEDED', cause?: unknown) => {
      const message = code === 'CANCELLED' ? 'was cancelled; it may still happen' : 'did not answer before its deadline';
      reject(new DiptychError(code, `${what} ${message}`, { cause }));
    };
    let callOff: (() => void) | undefined;
    // First of all, so that a late rejection is never an unhandled one.
    work.then(
      (value) => {
        callOff?.();
        resolve(value);
      },
      (error: unknown) => {
        callOff?.();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- passed on as it is, whatever it is
        reject(error);
      },
    );
    if (context.signal?.aborted) fail('CANCELLED', context.signal.reason);
    else callOff = onContextEnd(context, fail, wheel);
  });
}
