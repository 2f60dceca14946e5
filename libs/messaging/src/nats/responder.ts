import type { CallContext } from '@diptych/kernel';
import { DiptychError, systemClock, toDiptychError } from '@diptych/kernel';
import type { Msg } from '@nats-io/transport-node';
import type { TSchema } from 'typebox';
import { deadOnArrival, malformedRequest, tooManyInFlight } from '../binding-errors.js';
import { listenerFault } from '../bindings/local.js';
import type { Check } from '../codec.js';
import { checkOf } from '../codec.js';
import { detailsOf } from '../detailed-error.js';
import type { FaultListener } from '../faults.js';
import { acceptRequest } from '../messages.js';
import type { Bounds, PortDescriptor, Subscription, TopicDescriptor, UnaryDescriptor } from '../port.js';
import { subjectOf } from '../port.js';
import { before } from './before.js';
import type { Connection } from './connection.js';
import type { KeptSubscription } from './kept-subscription.js';
import { acceptJson, JSON_TIMEOUT_MS, jsonExchange, TIMEOUT_HEADER } from './json.js';
import type { Lateness } from './lateness.js';
import type { PortWire } from './port-wire.js';
import { CANCEL_METHOD } from './routing/routes.js';
import type { Exchange } from './served-call.js';
import { noExchange, ServedCall } from './served-call.js';
import { answerFrame, errorFrame, eventFrame, frameKindOf, looksLikeJson, parseEventFrame, parseRequestFrame, ReplyKind } from './wire.js';

/** Serves one port of this process to all others. */
export interface Responder {
  /** Work begun and not finished. */
  readonly inFlight: number;
  /**
   * Takes no more calls, so that others of the queue group or nobody gets them; answers every call it has accepted, then ends.
   * What is not finished within `graceMs` is told to stop by its signal and answered with CONNECTION_LOST: it may have happened.
   * Never rejects. Safe to repeat: later calls wait for the first.
   */
  drain(graceMs: number): Promise<void>;
}

/** What a responder needs of its link. */
export interface ResponderHost {
  readonly connection: Connection;
  readonly lateness: Lateness;
  readonly bounds: Bounds;
  readonly onFault: FaultListener;
  messageBytesMax(): number;
  readonly onDrained: (responder: Responder) => void;
}

export class PortResponder<Port> implements Responder {
  readonly #host: ResponderHost;
  readonly #descriptor: PortDescriptor<Port>;
  readonly #implementation: Record<string, unknown>;
  readonly #subscriptions: KeptSubscription[] = [];
  readonly #topics: Subscription[] = [];
  /** By reply subject and id, which is unique over all callers. */
  readonly #calls = new Map<string, ServedCall>();
  #cancellations: KeptSubscription | undefined;
  #inFlight = 0;
  #lastEvent = 0;
  #draining: Promise<void> | undefined;
  #onIdle: () => void = () => undefined;

  constructor(host: ResponderHost, descriptor: PortDescriptor<Port>, implementation: Port) {
    this.#host = host;
    this.#descriptor = descriptor;
    this.#implementation = implementation as Record<string, unknown>;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Subscribes. Resolves when the broker knows. Methods the implementation lacks are left to nobody, and so UNAVAILABLE. */
  async start(): Promise<void> {
    const { connection } = this.#host;
    try {
      for (const name of Object.keys(this.#descriptor.methods)) {
        if (typeof this.#implementation[name] !== 'function') continue;
        const method = this.#descriptor.methods[name as keyof Port] as UnaryDescriptor<never> | TopicDescriptor;
        if (method.kind === 'topic') await this.#publishTopic(name);
        else this.#serveMethod(name, method);
      }
      this.#cancellations = connection.subscribe(subjectOf(this.#descriptor, CANCEL_METHOD), (message) => this.#cancel(message));
      await connection.flush();
    } catch (error) {
      await this.drain(0);
      throw error;
    }
  }

  drain(graceMs: number): Promise<void> {
    this.#draining ??= this.#drain(graceMs);
    return this.#draining;
  }

  async #drain(graceMs: number): Promise<void> {
    const { connection, onFault, onDrained } = this.#host;
    const name = this.#descriptor.name;
    const endMs = systemClock.nowMs() + graceMs;
    await before(endMs, Promise.all(this.#subscriptions.map((subscription) => subscription.drain())));
    await this.#answered(endMs);
    if (this.#calls.size > 0)
      onFault(new DiptychError('DEADLINE_EXCEEDED', `${name}: ${this.#calls.size} calls were not finished within ${graceMs} ms`));
    for (const call of [...this.#calls.values()]) this.#abandon(call);
    // Events last: those of the calls just answered are part of what was promised.
    for (const topic of this.#topics.splice(0)) topic[Symbol.dispose]();
    await before(endMs, connection.flush());
    this.#cancellations?.[Symbol.dispose]();
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    onDrained(this);
  }

  /** Resolves when nobody waits for an answer any more: because it was given, or its deadline has passed, or at `endMs`. */
  async #answered(endMs: number): Promise<void> {
    if (this.#calls.size === 0) return;
    const lastMs = Math.max(...[...this.#calls.values()].map((call) => call.context.deadlineMs));
    await before(Math.min(endMs, lastMs), new Promise<void>((resolve) => (this.#onIdle = resolve)));
    const nowMs = systemClock.nowMs();
    for (const call of [...this.#calls.values()]) if (call.context.deadlineMs <= nowMs) this.#release(call);
  }

  async #publishTopic(name: string): Promise<void> {
    const { connection, onFault } = this.#host;
    const what = `${this.#descriptor.name}.${name}`;
    const subject = subjectOf(this.#descriptor, name);
    const topic = this.#implementation[name] as (listener: (event: unknown) => void) => Promise<Subscription>;
    this.#topics.push(
      await topic.call(this.#implementation, (event) => {
        // While nobody can be reached an event is lost, as it may be at any time; it must not come out of a buffer later.
        if (connection.status !== 'connected') return;
        try {
          connection.publish(subject, eventFrame(what, event, this.#host.messageBytesMax()));
        } catch (error) {
          onFault(listenerFault(what, error));
        }
      }),
    );
  }

  #serveMethod(name: string, method: UnaryDescriptor<never>): void {
    const what = `${this.#descriptor.name}.${name}`;
    const served: ServedMethod = { name, what, schema: method.request, requestFits: checkOf(method.request), inFlight: 0 };
    const { wire } = this.#descriptor;
    const queue = wire ? wire.queueOf(name) : this.#descriptor.name;
    this.#subscriptions.push(
      this.#host.connection.subscribe(
        subjectOf(this.#descriptor, name),
        (message) => (wire ? this.#takeByWire(wire, served, message) : this.#take(served, message)),
        queue === undefined ? {} : { queue },
      ),
    );
  }

  /** What a port with conventions of its own takes besides calls: events, and messages that are no frames. */
  #takeByWire(wire: PortWire, method: ServedMethod, message: Msg): void {
    const { data } = message;
    const kind = frameKindOf(data);
    if (!kind) {
      const plain = wire.plainCall(message, this.#host.connection, method.what, this.#host.messageBytesMax());
      const call = new ServedCall(plain.exchange, message, systemClock.nowMs() + plain.timeoutMs, plain.traceparent);
      return this.#begin(method, call, () => plain.accept());
    }
    if (kind === 'request') return this.#take(method, message);
    const exchange = noExchange(`${method.name}#${++this.#lastEvent}`);
    const call = new ServedCall(exchange, message, systemClock.nowMs() + wire.eventTimeoutMs, undefined);
    this.#begin(method, call, () => acceptRequest(method.what, parseEventFrame(data), method.requestFits));
  }

  #take(method: ServedMethod, message: Msg): void {
    const { data, reply } = message;
    const { connection, lateness, onFault } = this.#host;
    // Nobody waits for the outcome, so nobody could ever know whether it was done.
    if (!reply) return onFault(malformedRequest(method.what, 'it has no reply subject'));
    if (looksLikeJson(data)) return this.#takeJson(method, message, reply);
    let frame;
    try {
      frame = parseRequestFrame(data);
    } catch (error) {
      return this.#fail(jsonExchange(connection, method.what, reply, 0), malformedRequest(method.what, (error as Error).message, error));
    }
    const nowMs = systemClock.nowMs();
    const inbox = reply.slice(0, reply.lastIndexOf('.'));
    const lateMs = lateness.of(inbox, frame.sentMs, nowMs);
    for (const { id, timeLeftMs, traceparent, body } of frame.calls) {
      const exchange: Exchange = {
        key: `${inbox}.${id}`,
        answer: (value) => connection.publish(reply, answerFrame(method.what, id, value, this.#host.messageBytesMax())),
        next: (value) => {
          const frame = answerFrame(method.what, id, value, this.#host.messageBytesMax(), ReplyKind.VALUE);
          connection.publish(reply, frame);
          return frame.byteLength;
        },
        fail: (error) => connection.publish(reply, errorFrame(id, error)),
      };
      const call = new ServedCall(exchange, message, nowMs + timeLeftMs - lateMs, traceparent);
      this.#begin(method, call, () => acceptRequest(method.what, body, method.requestFits));
    }
  }

  #takeJson(method: ServedMethod, message: Msg, reply: string): void {
    const timeoutMs = Number(message.headers?.get(TIMEOUT_HEADER) || JSON_TIMEOUT_MS);
    const deadlineMs = systemClock.nowMs() + (Number.isFinite(timeoutMs) ? timeoutMs : JSON_TIMEOUT_MS);
    const traceparent = message.headers?.get('traceparent') || undefined;
    const exchange = jsonExchange(this.#host.connection, method.what, reply, this.#host.messageBytesMax());
    this.#begin(method, new ServedCall(exchange, message, deadlineMs, traceparent), () =>
      acceptJson(method.what, message.data, method.schema, method.requestFits),
    );
  }

  #begin(method: ServedMethod, call: ServedCall, accept: () => unknown): void {
    const { exchange } = call;
    let work: Promise<unknown>;
    try {
      // Nothing can have been cancelled yet, and to look at the signal would make one.
      if (!(systemClock.nowMs() < call.context.deadlineMs)) throw deadOnArrival();
      if (method.inFlight >= this.#host.bounds.inFlightMax) throw tooManyInFlight(method.what, this.#host.bounds.inFlightMax);
      const request = accept();
      work = Promise.resolve((this.#implementation[method.name] as Unary)(request, call.context, call));
    } catch (error) {
      return this.#fail(exchange, this.#told(method.what, error));
    }
    this.#inFlight++;
    method.inFlight++;
    this.#calls.set(exchange.key, call);
    work.then(
      (value) => this.#settle(method, call, () => this.#answer(exchange, value)),
      (error: unknown) => this.#settle(method, call, () => this.#fail(exchange, this.#told(method.what, error))),
    );
  }

  #settle(method: ServedMethod, call: ServedCall, answer: () => void): void {
    this.#inFlight--;
    method.inFlight--;
    if (call.released) return;
    answer();
    this.#release(call);
  }

  /** Nobody waits for its answer any more. */
  #release(call: ServedCall): void {
    call.released = true;
    this.#calls.delete(call.exchange.key);
    if (this.#calls.size === 0) this.#onIdle();
  }

  #cancel(message: Msg): void {
    const call = this.#calls.get(message.reply ?? '');
    if (!call) return;
    this.#release(call);
    call.stop(new DiptychError('CANCELLED', 'the caller gave up'));
  }

  #abandon(call: ServedCall): void {
    const why = new DiptychError('CONNECTION_LOST', `${this.#descriptor.name} is stopping; the call may have happened`);
    this.#release(call);
    call.stop(why);
    this.#fail(call.exchange, why);
  }

  #answer(exchange: Exchange, value: unknown): void {
    try {
      exchange.answer(value);
    } catch (error) {
      if (this.#host.connection.status !== 'connected') return;
      this.#host.onFault(toDiptychError(error));
      this.#fail(exchange, toDiptychError(error));
    }
  }

  /** An answer that cannot be sent, because the connection is lost, is lost with it: the caller learns from CONNECTION_LOST or its deadline. */
  #fail(exchange: Exchange, error: DiptychError): void {
    try {
      exchange.fail(error);
    } catch (failure) {
      if (this.#host.connection.status === 'connected') this.#host.onFault(toDiptychError(failure));
    }
  }

  /** What the caller is told of an error. The cause of an INTERNAL one stays here, so it is reported here. */
  #told(what: string, error: unknown): DiptychError {
    const told = toDiptychError(error);
    // With details it is an answer that an adapter made on purpose, and has reported if it is a defect.
    if (told.code === 'INTERNAL' && detailsOf(told) === undefined)
      this.#host.onFault(new DiptychError('INTERNAL', `${what} failed: ${told.message}`, { cause: told.cause ?? told }));
    return told;
  }
}

interface ServedMethod {
  readonly name: string;
  /** For errors: `cache.get`. */
  readonly what: string;
  readonly schema: TSchema;
  readonly requestFits: Check;
  /** Work begun and not finished. Counted by method, so that one that is stuck does not make the others OVERLOADED. */
  inFlight: number;
}

/** The call itself is for adapters; a port's own methods take two. */
type Unary = (request: unknown, context: CallContext, call: ServedCall) => Promise<unknown>;
