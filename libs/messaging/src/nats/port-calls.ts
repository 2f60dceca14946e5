import type { CallContext } from '@diptych/kernel';
import { DiptychError, StoppableContext, systemClock, toDiptychError } from '@diptych/kernel';
import type { Message } from './client/message.js';
import type { TSchema } from 'typebox';
import { deadOnArrival, malformedRequest, notServed, tooManyBytesInFlight, tooManyInFlight } from '../binding-errors.js';
import type { Check } from '../codec.js';
import { detailsOf } from '../detailed-error.js';
import { acceptRequest } from '../messages.js';
import { before } from './before.js';
import { acceptJson, JSON_TIMEOUT_MS, jsonExchange, TIMEOUT_HEADER, traceparentOf } from './json.js';
import type { PortWire } from './port-wire.js';
import type { ResponderHost } from './responder.js';
import type { Exchange } from './served-call.js';
import { noExchange, ServedCall, ServedCalls, SOLE_CALL } from './served-call.js';
import { RequestReader } from './frame-readers.js';
import { frameKindOf, looksLikeJson, parseEventFrame } from './wire.js';

/**
 * The calls that a port of this process gets: read, bounded, run and answered.
 */
export class PortCalls {
  readonly #host: ResponderHost;
  readonly #port: string;
  readonly #implementation: Record<string, unknown>;
  readonly #calls = new ServedCalls();
  #inFlight = 0;
  #lastEvent = 0;
  #isOver = false;
  #onIdle: () => void = () => undefined;

  constructor(host: ResponderHost, port: string, implementation: Record<string, unknown>) {
    this.#host = host;
    this.#port = port;
    this.#implementation = implementation;
  }

  /** Work begun and not finished. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Calls that somebody waits for. */
  get awaited(): number {
    return this.#calls.size;
  }

  /** Resolves when nobody waits for an answer any more: because it was given, or its deadline has passed, or at `endMs`. */
  async answered(endMs: number): Promise<void> {
    const idle = new Promise<void>((resolve) => (this.#onIdle = resolve));
    for (let nowMs = systemClock.nowMs(); ; nowMs = systemClock.nowMs()) {
      let soonestMs = Number.POSITIVE_INFINITY;
      for (const call of this.#calls.all()) {
        if (call.context.deadlineMs <= nowMs) this.#release(call);
        else soonestMs = Math.min(soonestMs, call.context.deadlineMs);
      }
      if (this.#calls.size === 0 || nowMs >= endMs) return;
      // Not for each deadline by itself: there may be thousands.
      await before(Math.min(endMs, Math.max(soonestMs, nowMs + LOOK_MS)), idle);
    }
  }

  /** Stops what is left, and says so to whoever waits for it. What comes later is refused. */
  abandonAll(): void {
    this.#isOver = true;
    for (const call of this.#calls.all()) this.#abandon(call);
  }

  /** What a port with conventions of its own takes besides calls: events, and messages that are no frames. */
  takeByWire(wire: PortWire, method: ServedMethod, message: Message): void {
    const { data } = message;
    const kind = frameKindOf(data);
    if (kind === 'request') return this.take(method, message);
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

  take(method: ServedMethod, message: Message): void {
    const { data, reply } = message;
    const { lateness, replies, onFault } = this.#host;
    // Nobody waits for the outcome, so nobody could ever know whether it was done.
    if (!reply) return onFault(malformedRequest(method.what, 'it has no reply subject'));
    if (looksLikeJson(data)) return this.#takeJson(method, message, reply);
    let reader: RequestReader;
    try {
      reader = new RequestReader(data);
    } catch (error) {
      return this.refuse(reply, malformedRequest(method.what, (error as Error).message, error));
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
  refuse(reply: string, why: DiptychError): void {
    this.#fail(jsonExchange(this.#host.connection, '', reply, 0), why);
  }

  #takeJson(method: ServedMethod, message: Message, reply: string): void {
    const timeoutMs = Number(message.headers?.get(TIMEOUT_HEADER) || JSON_TIMEOUT_MS);
    const deadlineMs = systemClock.nowMs() + (Number.isFinite(timeoutMs) ? timeoutMs : JSON_TIMEOUT_MS);
    const traceparent = traceparentOf(message.headers);
    const exchange = jsonExchange(this.#host.connection, method.what, reply, this.#host.messageBytesMax());
    this.#begin(method, this.#plainCall(exchange, message, deadlineMs, traceparent), () =>
      acceptJson(method.what, message.data, method.schema, method.requestFits),
    );
  }

  #plainCall(exchange: Exchange, message: Message, deadlineMs: number, traceparent: string | undefined): ServedCall {
    const context = new StoppableContext(deadlineMs, traceparent);
    return new ServedCall(exchange, exchange.key, SOLE_CALL, message, message.data.byteLength, context);
  }

  #begin(method: ServedMethod, call: ServedCall, accept: () => unknown): void {
    const { inFlightMax, inFlightBytesMax } = this.#host.bounds;
    let work: Promise<unknown>;
    try {
      if (this.#isOver) throw notServed(method.what);
      // Nothing can have been cancelled yet.
      if (!(systemClock.nowMs() < call.context.deadlineMs)) throw deadOnArrival();
      if (call.context.deadlineMs === Number.POSITIVE_INFINITY) throw malformedRequest(method.what, 'its deadline is not finite');
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

  /** The message holds the reply subject of a plain client's call, or the inbox and the id of a framed one. */
  cancel(message: Message): void {
    if (message.data.byteLength > REPLY_SUBJECT_BYTES_MAX) return;
    const reply = Buffer.from(message.data).toString('latin1');
    const dot = reply.lastIndexOf('.');
    const call = this.#calls.find(reply.slice(0, dot), Number(reply.slice(dot + 1))) ?? this.#calls.find(reply, SOLE_CALL);
    if (!call) return;
    this.#release(call);
    call.stop(new DiptychError('CANCELLED', 'the caller gave up'));
  }

  #abandon(call: ServedCall): void {
    const why = new DiptychError('CONNECTION_LOST', `${this.#port} is stopping; the call may have happened`);
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

/** Between two looks at which deadlines have passed. */
const LOOK_MS = 10;
/** The broker's limit on a line of its protocol. */
const REPLY_SUBJECT_BYTES_MAX = 4_096;

export interface ServedMethod {
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
