import type { CallContext } from '@diptych/kernel';
import { DiptychError, StoppableContext, systemClock, toDiptychError } from '@diptych/kernel';
import type { Msg } from '@nats-io/transport-node';
import type { TSchema } from 'typebox';
import { deadOnArrival, malformedRequest, notServed, tooManyBytesInFlight, tooManyInFlight } from '../binding-errors.js';
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
import { Heartbeat } from './routing/heartbeat.js';
import type { Replies } from './replies.js';
import { CANCEL_METHOD } from './routing/routes.js';
import type { Exchange } from './served-call.js';
import { noExchange, ServedCall, ServedCalls, SOLE_CALL } from './served-call.js';
import { eventFrame, frameKindOf, looksLikeJson, parseEventFrame, RequestReader } from './wire.js';

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
  /** Of this process's link, unique among all: a token of subjects. */
  readonly instance: string;
  readonly lateness: Lateness;
  readonly replies: Replies;
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
  readonly #methods = new Map<string, ServedMethod>();
  readonly #calls = new ServedCalls();
  #cancellations: KeptSubscription | undefined;
  /** Ports with conventions of their own have subjects that name no instance. */
  readonly #heartbeat: Heartbeat | undefined;
  #inFlight = 0;
  #lastEvent = 0;
  #draining: Promise<void> | undefined;
  #onIdle: () => void = () => undefined;

  constructor(host: ResponderHost, descriptor: PortDescriptor<Port>, implementation: Port) {
    this.#host = host;
    this.#descriptor = descriptor;
    this.#implementation = implementation as Record<string, unknown>;
    const { connection, instance } = host;
    if (!descriptor.wire) this.#heartbeat = new Heartbeat(descriptor, connection, { instance, inFlight: () => this.#inFlight });
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
      this.#serveInstance();
      this.#cancellations = connection.subscribe(subjectOf(this.#descriptor, CANCEL_METHOD), (message) => this.#cancel(message));
      await connection.flush();
      this.#heartbeat?.start();
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
    const { connection, replies, onFault, onDrained } = this.#host;
    const name = this.#descriptor.name;
    const endMs = systemClock.nowMs() + graceMs;
    this.#heartbeat?.drain();
    await before(endMs, Promise.all(this.#subscriptions.map((subscription) => subscription.drain())));
    await this.#answered(endMs);
    if (this.#calls.size > 0)
      onFault(new DiptychError('DEADLINE_EXCEEDED', `${name}: ${this.#calls.size} calls were not finished within ${graceMs} ms`));
    for (const call of this.#calls.all()) this.#abandon(call);
    // Events last: those of the calls just answered are part of what was promised.
    for (const topic of this.#topics.splice(0)) topic[Symbol.dispose]();
    replies.flush();
    this.#heartbeat?.end();
    await before(endMs, connection.flush());
    this.#cancellations?.[Symbol.dispose]();
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    onDrained(this);
  }

  /** Resolves when nobody waits for an answer any more: because it was given, or its deadline has passed, or at `endMs`. */
  async #answered(endMs: number): Promise<void> {
    if (this.#calls.size === 0) return;
    const lastMs = Math.max(...this.#calls.all().map((call) => call.context.deadlineMs));
    await before(Math.min(endMs, lastMs), new Promise<void>((resolve) => (this.#onIdle = resolve)));
    const nowMs = systemClock.nowMs();
    for (const call of this.#calls.all()) if (call.context.deadlineMs <= nowMs) this.#release(call);
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
    const served: ServedMethod = { name, what, schema: method.request, requestFits: checkOf(method.request), inFlight: 0, bytes: 0 };
    this.#methods.set(name, served);
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

  /** What is sent to this instance and to no other: its subjects are those of the methods and one token more. */
  #serveInstance(): void {
    const { connection, instance } = this.#host;
    if (this.#descriptor.wire) return;
    const subject = `${subjectOf(this.#descriptor, '*')}.${instance}`;
    const methodStart = subject.indexOf('*');
    const take = (message: Msg) => {
      const name = message.subject.slice(methodStart, -instance.length - 1);
      if (name === CANCEL_METHOD) return this.#cancel(message);
      const method = this.#methods.get(name);
      if (method) this.#take(method, message);
      else if (message.reply) this.#refuse(message.reply, notServed(`${this.#descriptor.name}.${name}`));
    };
    this.#subscriptions.push(connection.subscribe(subject, take));
  }

  /** What a port with conventions of its own takes besides calls: events, and messages that are no frames. */
  #takeByWire(wire: PortWire, method: ServedMethod, message: Msg): void {
    const { data } = message;
    const kind = frameKindOf(data);
    if (kind === 'request') return this.#take(method, message);
    const nowMs = systemClock.nowMs();
    if (kind !== 'event') {
      const plain = wire.plainCall(message, this.#host.connection, method.what, this.#host.messageBytesMax());
      const call = this.#plainCall(plain.exchange, message, nowMs + plain.timeoutMs, plain.traceparent);
      return this.#begin(method, call, () => plain.accept());
    }
    const exchange = noExchange(`${method.name}#${++this.#lastEvent}`);
    const call = this.#plainCall(exchange, message, nowMs + wire.eventTimeoutMs, undefined);
    this.#begin(method, call, () => acceptRequest(method.what, parseEventFrame(data), method.requestFits));
  }

  #take(method: ServedMethod, message: Msg): void {
    const { data, reply } = message;
    const { lateness, replies, onFault } = this.#host;
    // Nobody waits for the outcome, so nobody could ever know whether it was done.
    if (!reply) return onFault(malformedRequest(method.what, 'it has no reply subject'));
    if (looksLikeJson(data)) return this.#takeJson(method, message, reply);
    let reader: RequestReader;
    try {
      reader = new RequestReader(data);
    } catch (error) {
      return this.#refuse(reply, malformedRequest(method.what, (error as Error).message, error));
    }
    const nowMs = systemClock.nowMs();
    const inbox = reply.slice(0, reply.lastIndexOf('.'));
    const caller = replies.callerOf(inbox);
    // What is left of the deadline is counted from when the frame was sent, on the caller's clock, and put onto ours.
    const shiftMs = nowMs - lateness.of(inbox, reader.sentMs, nowMs) - reader.sentMs;
    while (reader.next()) {
      const { id, bytes, bodyStart, bodyEnd } = reader;
      const context = new StoppableContext(reader.deadlineMs + shiftMs, reader.traceparent);
      const call = new ServedCall(replies.exchange(caller, id, method.what), inbox, id, message, bodyEnd - bodyStart, context);
      this.#begin(method, call, () => acceptRequest(method.what, bytes, method.requestFits, bodyStart, bodyEnd));
    }
  }

  /** Says of a whole message, whose calls are not known, that nothing was begun. In JSON, which is what callers understand of any version. */
  #refuse(reply: string, why: DiptychError): void {
    this.#fail(jsonExchange(this.#host.connection, '', reply, 0), why);
  }

  #takeJson(method: ServedMethod, message: Msg, reply: string): void {
    const timeoutMs = Number(message.headers?.get(TIMEOUT_HEADER) || JSON_TIMEOUT_MS);
    const deadlineMs = systemClock.nowMs() + (Number.isFinite(timeoutMs) ? timeoutMs : JSON_TIMEOUT_MS);
    const traceparent = message.headers?.get('traceparent') || undefined;
    const exchange = jsonExchange(this.#host.connection, method.what, reply, this.#host.messageBytesMax());
    this.#begin(method, this.#plainCall(exchange, message, deadlineMs, traceparent), () =>
      acceptJson(method.what, message.data, method.schema, method.requestFits),
    );
  }

  #plainCall(exchange: Exchange, message: Msg, deadlineMs: number, traceparent: string | undefined): ServedCall {
    const context = new StoppableContext(deadlineMs, traceparent);
    return new ServedCall(exchange, exchange.key, SOLE_CALL, message, message.data.byteLength, context);
  }

  #begin(method: ServedMethod, call: ServedCall, accept: () => unknown): void {
    const { inFlightMax, inFlightBytesMax } = this.#host.bounds;
    let work: Promise<unknown>;
    try {
      // Nothing can have been cancelled yet.
      if (!(systemClock.nowMs() < call.context.deadlineMs)) throw deadOnArrival();
      if (method.inFlight >= inFlightMax) throw tooManyInFlight(method.what, inFlightMax);
      // One message may always be worked on, whatever its size.
      if (method.bytes > 0 && method.bytes + call.bytes > inFlightBytesMax) throw tooManyBytesInFlight(method.what, method.bytes);
      const request = accept();
      work = Promise.resolve((this.#implementation[method.name] as Unary)(request, call.context, call));
    } catch (error) {
      return this.#fail(call.exchange, this.#told(method.what, error));
    }
    this.#inFlight++;
    method.inFlight++;
    method.bytes += call.bytes;
    this.#calls.add(call);
    this.#host.replies.work(1);
    work.then(
      (value) => {
        this.#settle(method, call);
        if (!call.released) this.#answer(call.exchange, value);
        this.#release(call);
      },
      (error: unknown) => {
        this.#settle(method, call);
        if (!call.released) this.#fail(call.exchange, this.#told(method.what, error));
        this.#release(call);
      },
    );
  }

  #settle(method: ServedMethod, call: ServedCall): void {
    this.#inFlight--;
    method.inFlight--;
    method.bytes -= call.bytes;
    this.#host.replies.work(-1);
  }

  /** Nobody waits for its answer any more. Safe to repeat. */
  #release(call: ServedCall): void {
    if (call.released) return;
    call.released = true;
    this.#calls.remove(call);
    if (this.#calls.size === 0) this.#onIdle();
  }

  #cancel(message: Msg): void {
    const { reply = '' } = message;
    const dot = reply.lastIndexOf('.');
    const call = this.#calls.find(reply.slice(0, dot), Number(reply.slice(dot + 1))) ?? this.#calls.find(reply, SOLE_CALL);
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
  /** What their requests take. */
  bytes: number;
}

/** The call itself is for adapters; a port's own methods take two. */
type Unary = (request: unknown, context: CallContext, call: ServedCall) => Promise<unknown>;
