import { deadlines, DiptychError, isDiptychError } from '@diptych/kernel';
import type { Observable, Subscription } from 'rxjs';
import type { ServedCall } from '../nats/served-call.js';
import { toWireError } from './errors.js';
import { patternSubjectOf } from './nest-port.js';

/** What a stream needs of its link. */
export interface StreamOutlet {
  /** Resolves when the broker has taken all that was sent until now. */
  flush(): Promise<void>;
  /** What of one stream may be on its way to the broker. */
  readonly bytesMax: number;
}

/**
 * Gives what an Observable emits to the caller, and settles with its last value, or with undefined when it ends later than that. As with Nest's
 * own transports the end is merged with a value of the same tick, so one value is one message.
 *
 * The subscription ends with the Observable, with the call's deadline, and when the caller gives up. Nothing can make an Observable wait, so
 * a stream that runs ahead of the broker by more than the outlet's bound ends with CONNECTION_LOST.
 */
export function replyWith(source: Observable<unknown>, call: ServedCall, outlet: StreamOutlet): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const stream = new ReplyStream(call, outlet, resolve, reject);
    stream.start(source);
  });
}

class ReplyStream {
  #held: { readonly value: unknown } | undefined;
  #started = false;
  #settled = false;
  #releasing = false;
  #unconfirmedBytes = 0;
  #flushing = false;
  #subscription: Subscription | undefined;
  #deadline: Disposable | undefined;

  constructor(
    readonly call: ServedCall,
    readonly outlet: StreamOutlet,
    readonly resolve: (value: unknown) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  start(source: Observable<unknown>): void {
    // The caller gave up before there was anything to subscribe to.
    const { context } = this.call;
    if (context.stopped) return this.#settle(() => this.reject(context.signal.reason));
    this.#subscription = source.subscribe({
      next: (value) => this.#take(value),
      error: (error: unknown) => this.#fail(toWireError(error)),
      complete: () => this.#settle(() => this.resolve(this.#held?.value)),
    });
    this.#started = true;
    // What was settled by the time it was subscribed to was settled before it could be ended.
    if (this.#settled) return this.#subscription.unsubscribe();
    this.#deadline = deadlines.at(this.call.context.deadlineMs, () => this.call.stop(tooLate(this.call)));
    this.call.onStop = (why) => this.#fail(why);
    if (this.#held) this.#releaseSoon();
  }

  #take(value: unknown): void {
    if (this.#settled) return;
    if (this.#held) this.#send(this.#held.value);
    if (this.#settled) return;
    this.#held = { value };
    if (this.#started) this.#releaseSoon();
  }

  #releaseSoon(): void {
    if (this.#releasing) return;
    this.#releasing = true;
    process.nextTick(() => {
      this.#releasing = false;
      const held = this.#held;
      if (this.#settled || !held) return;
      this.#held = undefined;
      this.#send(held.value);
    });
  }

  #send(value: unknown): void {
    try {
      this.#unconfirmedBytes += this.call.exchange.next(value);
    } catch (error) {
      return this.#fail(isDiptychError(error) && error.code === 'OVERLOADED' ? overrun(error.message) : error);
    }
    if (this.#unconfirmedBytes > this.outlet.bytesMax)
      return this.#fail(overrun(`the stream is ${this.#unconfirmedBytes} bytes ahead of the broker`));
    if (!this.#flushing && this.#unconfirmedBytes > FLUSH_BYTES) this.#confirm();
  }

  #confirm(): void {
    this.#flushing = true;
    const bytes = this.#unconfirmedBytes;
    void this.outlet.flush().then(() => {
      this.#flushing = false;
      this.#unconfirmedBytes -= bytes;
    });
  }

  #fail(error: unknown): void {
    // What was emitted before the end was emitted.
    if (!this.#settled && this.#held) {
      const { value } = this.#held;
      this.#held = undefined;
      this.#send(value);
    }
    this.#settle(() => this.reject(error));
  }

  #settle(settle: () => void): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#deadline?.[Symbol.dispose]();
    this.call.onStop = undefined;
    this.#subscription?.unsubscribe();
    settle();
  }
}

/** Not OVERLOADED, which is definite: the handler has run, and values have gone out. */
function overrun(message: string): DiptychError {
  return new DiptychError('CONNECTION_LOST', `values were lost on their way: ${message}`);
}

function tooLate(call: ServedCall): DiptychError {
  return new DiptychError('DEADLINE_EXCEEDED', `${patternSubjectOf(call.message.subject)} had not finished by its deadline`);
}

/** The broker is asked whether it has taken what was sent once so much of it may not have arrived. */
const FLUSH_BYTES = 262_144;
