import type { Clock } from './clock.js';
import { systemClock } from './clock.js';
import { DiptychError } from './errors.js';

/**
 * What travels with every port call: until when it is worth doing, whether the caller still wants it, and the trace it
 * belongs to. Every port method takes one; there is no call without a deadline.
 */
export interface CallContext {
  /** Instant on `systemClock.nowMs()` after which the answer is worthless. Always finite. */
  readonly deadlineMs: number;
  /** Aborted when the caller gives up. Work that has not begun is then not begun. */
  readonly signal?: AbortSignal | undefined;
  /** W3C `traceparent`. */
  readonly traceparent?: string | undefined;
}

/**
 * A context that ends `timeoutMs` from now.
 *
 * @throws RangeError when `timeoutMs` is not finite: there is no call without a deadline
 */
export function within(
  timeoutMs: number,
  options: { signal?: AbortSignal | undefined; traceparent?: string | undefined; clock?: Clock } = {},
): CallContext {
  if (!Number.isFinite(timeoutMs)) throw new RangeError(`timeoutMs must be finite, is ${timeoutMs}`);
  return { deadlineMs: (options.clock ?? systemClock).nowMs() + timeoutMs, signal: options.signal, traceparent: options.traceparent };
}

export function timeLeftMs(context: CallContext, clock: Clock = systemClock): number {
  return context.deadlineMs - clock.nowMs();
}

/**
 * Refuses work that is already dead. Call it before starting something, and again after a wait.
 *
 * @throws CANCELLED (definite: nothing has begun) or DEADLINE_EXCEEDED (definite likewise)
 */
export function assertAlive(context: CallContext, clock: Clock = systemClock): void {
  if (isStopped(context))
    throw new DiptychError('CANCELLED', 'cancelled before the work began', { definite: true, cause: context.signal!.reason });
  if (!(clock.nowMs() < context.deadlineMs))
    throw new DiptychError('DEADLINE_EXCEEDED', 'the deadline passed before the work began', { definite: true });
}

/** Whether the caller has given up. The same as `context.signal?.aborted`, and does not make a signal to find out. */
export function isStopped(context: CallContext): boolean {
  return context instanceof StoppableContext ? context.stopped : context.signal?.aborted === true;
}

/** Whether somebody may abort the context later, or has. Does not make a signal to find out. */
export function hasSignal(context: CallContext): boolean {
  return context instanceof StoppableContext || context.signal !== undefined;
}

/**
 * The context of work that this process does for another: whoever made it can stop it. Its signal is made when somebody asks for it, since
 * that costs more than all else about a call and most work never does.
 *
 * Its signal is an accessor, which a spread (`{ ...context }`) leaves behind: name the fields when you make one context from another.
 */
export class StoppableContext implements CallContext {
  readonly deadlineMs: number;
  readonly traceparent: string | undefined;
  #controller: AbortController | undefined;
  #why: unknown;
  #stopped = false;

  constructor(deadlineMs: number, traceparent: string | undefined) {
    this.deadlineMs = deadlineMs;
    this.traceparent = traceparent;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#stopped) this.#controller.abort(this.#why);
    }
    return this.#controller.signal;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Aborts the signal. Only the first time counts. */
  stop(why: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#why = why;
    this.#controller?.abort(why);
  }
}
