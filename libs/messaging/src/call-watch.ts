import type { CallContext, Clock, DeadlineWheel, DiptychError } from '@diptych/kernel';
import { assertAlive, deadlines, hasSignal, isStopped, systemClock } from '@diptych/kernel';
import { cancelledInFlight, malformedRequest, notAnswered } from './binding-errors.js';

/**
 * Ends calls whose deadline passes or whose caller gives up, at almost no cost for the others.
 *
 * A timer and an abort listener a call cost about as much as the rest of a call in one process, and nearly every call
 * settles at once. So a new call is only linked into a list (and unlinked when it settles). Every `periodMs` those that are
 * still there get their place on the deadline wheel and their listener, once each; those with time left only at the next
 * turn. A deadline is therefore noticed at most one period plus one tick of the wheel late, an abort at most two periods.
 *
 * While all calls have no signal and much time, as calls of a process that does little else, it looks ten times more rarely: a timer that wakes a
 * process 200 times a second is in the way of one call in fifteen.
 */
export class CallWatch {
  readonly #periodMs: number;
  readonly #clock: Clock;
  readonly #wheel: DeadlineWheel;
  #first: WatchedCall | undefined;
  #timer: Disposable | undefined;
  #timerMs = 0;
  /** When the timer began or last fired. */
  #lookedMs = 0;
  /** Periods since there was something to hurry for. */
  #calmPeriods = 0;

  constructor(options: { periodMs?: number; clock?: Clock; wheel?: DeadlineWheel } = {}) {
    this.#periodMs = options.periodMs ?? 5;
    this.#clock = options.clock ?? systemClock;
    this.#wheel = options.wheel ?? deadlines;
  }

  /** Watches until `release`, or until it called `call.end`. */
  add(call: WatchedCall): void {
    const next = this.#first;
    if (next) next.previous = call;
    call.next = next;
    call.young = true;
    this.#first = call;
    if (!this.#timer) this.#lookEvery(this.#periodFor(call, this.#clock.nowMs()));
    else if (this.#periodFor(call, this.#lookedMs) < this.#timerMs) this.#lookEvery(this.#periodMs);
  }

  #periodFor({ context }: WatchedCall, nowMs: number): number {
    const rareMs = this.#periodMs * RARE_PERIODS;
    if (context.deadlineMs - nowMs > rareMs * RARE_TURNS_LEFT_MIN && !hasSignal(context)) return rareMs;
    this.#calmPeriods = 0;
    return this.#periodMs;
  }

  #lookEvery(periodMs: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timerMs = periodMs;
    this.#lookedMs = this.#clock.nowMs();
    this.#timer = this.#clock.every(periodMs, () => this.#look());
  }

  /** Safe to repeat. */
  release(call: WatchedCall): void {
    if (call.young) this.#unlink(call);
    else if (call.timer) {
      call.timer[Symbol.dispose]();
      call.timer = undefined;
      if (call.onAbort) call.context.signal?.removeEventListener('abort', call.onAbort);
    }
  }

  #look(): void {
    // Kept for a while: under load there is soon a next call, and to start and stop an interval costs more than to let it run.
    this.#calmPeriods += this.#timerMs / this.#periodMs;
    if (this.#first) this.#promote();
    if (this.#calmPeriods < CALM_PERIODS_MAX) return;
    this.#calmPeriods = 0;
    if (this.#first) {
      if (this.#timerMs === this.#periodMs) this.#lookEvery(this.#periodMs * RARE_PERIODS);
      return;
    }
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #promote(): void {
    this.#lookedMs = this.#clock.nowMs();
    const soonMs = this.#lookedMs + 3 * this.#timerMs;
    let next: WatchedCall | undefined;
    for (let call: WatchedCall | undefined = this.#first; call; call = next) {
      next = call.next;
      // Most calls of a busy process are there at one turn and gone at the next. What has time may have that one more.
      if (!call.seen && call.context.deadlineMs > soonMs && !isStopped(call.context)) call.seen = true;
      else {
        this.#unlink(call);
        this.#arm(call);
      }
    }
  }

  #arm(call: WatchedCall): void {
    const { context, what } = call;
    const { signal } = context;
    if (signal?.aborted) return call.end(cancelledInFlight(what, signal.reason));
    call.timer = this.#wheel.at(context.deadlineMs, () => {
      this.release(call);
      call.end(notAnswered(what));
    });
    if (!signal) return;
    call.onAbort = () => {
      this.release(call);
      call.end(cancelledInFlight(what, signal.reason));
    };
    signal.addEventListener('abort', call.onAbort, { once: true });
  }

  #unlink(call: WatchedCall): void {
    const { previous, next } = call;
    if (previous) previous.next = next;
    else this.#first = next;
    if (next) next.previous = previous;
    call.previous = undefined;
    call.next = undefined;
    call.young = false;
  }
}

/** 50 ms: short enough not to delay the end of a process. */
const CALM_PERIODS_MAX = 10;
const RARE_PERIODS = 10;
/** Turns of the rare kind that a call must have left, or it is looked at soon. */
const RARE_TURNS_LEFT_MIN = 6;

/** A call in flight. The fields from `young` on belong to the watch. */
export abstract class WatchedCall {
  young = false;
  seen = false;
  previous: WatchedCall | undefined = undefined;
  next: WatchedCall | undefined = undefined;
  timer: Disposable | undefined = undefined;
  onAbort: (() => void) | undefined = undefined;

  constructor(
    /** The method, for errors: `cache.get`. */
    readonly what: string,
    readonly context: CallContext,
  ) {}

  /** Settles the call for its caller. The watch has let go of it already. Must not throw. */
  abstract end(error: DiptychError): void;
}

/**
 * What every binding asks before it begins a call.
 *
 * @throws CANCELLED or DEADLINE_EXCEEDED, both definite; INVALID_REQUEST when there is no end to the time it is given
 */
export function assertCallable(what: string, context: CallContext): void {
  assertAlive(context);
  if (context.deadlineMs === Number.POSITIVE_INFINITY) throw malformedRequest(what, 'its deadline is not finite');
}

/** The watch of this process. */
export const callWatch = new CallWatch();
