import type { CallContext } from '@diptych/kernel';
import { deadlines, DiptychError } from '@diptych/kernel';
import type { MsgHdrs } from '@nats-io/transport-node';
import { headers as newHeaders } from '@nats-io/transport-node';
import { NatsContext } from '@nestjs/microservices';
import { traceparentOf } from '../nats/json.js';
import type { ServedCall } from '../nats/served-call.js';
import type { Envelope } from './envelope.js';
import { patternSubjectOf } from './nest-port.js';

/**
 * What a handler gets by `@Ctx()`: all that Nest's `NatsContext` has, and until when the answer is worth something, whether the caller still
 * wants it, and the trace it belongs to. It is a `CallContext`, so it can be handed on to a typed port.
 */
export class DiptychContext extends NatsContext implements CallContext {
  readonly #call: ServedCall;
  readonly #envelope: Envelope;
  #headers: MsgHdrs | undefined;
  #deadline: Disposable | undefined;
  #ended = false;
  /** @internal */
  onEnd: (() => void) | undefined;

  /** @internal */
  constructor(call: ServedCall, envelope: Envelope) {
    super([patternSubjectOf(call.message.subject), undefined]);
    this.#call = call;
    this.#envelope = envelope;
  }

  override getHeaders(): MsgHdrs | undefined {
    const fields = this.#envelope[1];
    if (!fields) return this.#call.message.headers;
    if (!this.#headers) {
      this.#headers = newHeaders();
      for (const [name, values] of Object.entries(fields))
        for (const value of Array.isArray(values) ? (values as string[]) : [values as string]) this.#headers.append(name, value);
    }
    return this.#headers;
  }

  /** What the dispatch hook of the client (`setOnDispatchHook`) attached. */
  getMetadata(): Readonly<Record<string, string>> | undefined {
    return this.#envelope[2];
  }

  /** Instant on `systemClock.nowMs()` after which the answer is worthless. */
  get deadlineMs(): number {
    return this.#call.context.deadlineMs;
  }

  get traceparent(): string | undefined {
    return this.#call.context.traceparent ?? traceparentOf(this.getHeaders());
  }

  /** Aborted when the caller gives up, when the deadline has passed, or when this process stops and cannot wait any longer. */
  get signal(): AbortSignal {
    // Made when somebody asks: most handlers never do. When the work has ended, the deadline is nobody's any more.
    if (!this.#ended)
      this.#deadline ??= deadlines.at(this.deadlineMs, () =>
        this.#call.stop(new DiptychError('DEADLINE_EXCEEDED', `the deadline of ${this.getSubject()} passed`)),
      );
    return this.#call.context.signal;
  }

  /** @internal Once the work has ended. */
  end(): void {
    this.#ended = true;
    this.#deadline?.[Symbol.dispose]();
    this.onEnd?.();
  }
}
