import type { CallContext } from '@diptych/kernel';
import { DiptychError } from '@diptych/kernel';

/**
 * The context of a call of `DiptychClient`. Its signal is made when the call is old enough to be watched, which most calls never become: an
 * `AbortController` a call would cost as much as the rest of it.
 */
export class OutgoingCall implements CallContext {
  readonly deadlineMs: number;
  readonly traceparent: string | undefined;
  #sent = false;
  #controller: AbortController | undefined;
  #cancelled: DiptychError | undefined;

  constructor(deadlineMs: number, traceparent: string | undefined) {
    this.deadlineMs = deadlineMs;
    this.traceparent = traceparent;
  }

  get signal(): AbortSignal | undefined {
    if (!this.#sent) return undefined;
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort(this.#cancelled);
    }
    return this.#controller.signal;
  }

  /** From now on there is a signal for who asks. */
  sent(): void {
    this.#sent = true;
  }

  cancel(why: string): void {
    this.#cancelled ??= new DiptychError('CANCELLED', why);
    this.#controller?.abort(this.#cancelled);
  }
}
