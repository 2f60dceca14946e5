import type { CallContext } from '@diptych/kernel';
import type { DiptychError } from '@diptych/kernel';
import type { Msg } from '@nats-io/transport-node';

/** How one caller is answered. Both throw what publishing throws; `answer` also INTERNAL when the value cannot be sent. */
export interface Exchange {
  /** Unique over all callers, and what a cancellation names. */
  readonly key: string;
  answer(value: unknown): void;
  /** One of several values; the call goes on. Gives back its size in bytes. */
  next(value: unknown): number;
  fail(error: DiptychError): void;
}

/** Nobody is answered: of an event. */
export function noExchange(key: string): Exchange {
  const ignore = () => undefined;
  return { key, answer: ignore, next: () => 0, fail: ignore };
}

/** A call this process has accepted: its context, and whether somebody waits for it. */
export class ServedCall {
  readonly exchange: Exchange;
  /** What it came in: for adapters, which get this call as the third argument of a method. */
  readonly message: Msg;
  readonly context: CallContext;
  /** Nobody waits for its answer any more. */
  released = false;
  /** Hears of `stop` without a signal being made. */
  onStop: ((why: DiptychError) => void) | undefined;
  #controller: AbortController | undefined;
  #ended: DiptychError | undefined;

  constructor(exchange: Exchange, message: Msg, deadlineMs: number, traceparent: string | undefined) {
    this.exchange = exchange;
    this.message = message;
    const signal = () => this.#signal();
    // The controller is made when somebody asks for the signal: it costs more than all else here, and most work never does.
    this.context = {
      deadlineMs,
      traceparent,
      get signal() {
        return signal();
      },
    };
  }

  /** Tells the work to stop, through its signal. */
  stop(why: DiptychError): void {
    this.#ended ??= why;
    this.#controller?.abort(why);
    this.onStop?.(why);
  }

  #signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#ended) this.#controller.abort(this.#ended);
    }
    return this.#controller.signal;
  }
}
