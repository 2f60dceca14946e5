import type { CallContext } from '@diptych/kernel';
import { DiptychError, systemClock, timeLeftMs, toDiptychError } from '@diptych/kernel';
import type { Msg } from '@nats-io/transport-node';
import { garbledReply, notServed, tooManyBytesInFlight, tooManyInFlight } from '../binding-errors.js';
import { assertCallable, callWatch, WatchedCall } from '../call-watch.js';
import type { Check } from '../codec.js';
import { decode, errorFromRecord } from '../codec.js';
import { acceptReply } from '../messages.js';
import type { Bounds } from '../port.js';
import type { Connection } from './connection.js';
import type { KeptSubscription } from './kept-subscription.js';
import { jsonErrorOf } from './json.js';
import type { Destination, Routes } from './routing/routes.js';
import { looksLikeJson, parseReplyFrame, ReplyKind, requestFrame } from './wire.js';

/** Where a method is reached, and what its replies look like. */
export interface Target {
  /** For errors: `cache.get`. */
  readonly what: string;
  readonly method: string;
  readonly routes: Routes;
  /** Of the request, when the method declares one and the port is owned by key. */
  readonly routingKeyOf: ((request: unknown) => string) | undefined;
  readonly replyFits: Check;
  /** Of this method, in all clients of the process: a method that is stuck must not make the others OVERLOADED. */
  readonly inFlight: InFlight;
}

interface InFlight {
  calls: number;
  bytes: number;
}

/**
 * The calling side of a process: all calls of all its clients, one reply subscription for all of them, and a map from request id to
 * who waits, bounded by the calls and the bytes in flight of each method.
 */
export class Requester {
  readonly #connection: Connection;
  readonly #inbox: string;
  readonly #bounds: Bounds;
  readonly #pending = new Map<number, PendingCall>();
  /** By subject; there are as many as methods. */
  readonly #inFlight = new Map<string, InFlight>();
  readonly #replies: KeptSubscription;
  readonly #status: Disposable;
  #lastId = 0;

  constructor(connection: Connection, inbox: string, bounds: Bounds) {
    this.#connection = connection;
    this.#inbox = inbox;
    this.#bounds = bounds;
    this.#replies = connection.subscribe(`${inbox}.*`, (message) => this.#take(message));
    this.#status = connection.onStatus((status) => {
      if (status !== 'connected') this.#loseAll(status === 'closed' ? 'the link was closed' : 'the connection to NATS was lost');
    });
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  /** The counters of one method. */
  inFlightOf(subject: string): InFlight {
    let inFlight = this.#inFlight.get(subject);
    if (!inFlight) this.#inFlight.set(subject, (inFlight = { calls: 0, bytes: 0 }));
    return inFlight;
  }

  /** @param onValue gets the values of a stream before the answer; without it they are dropped. Must not throw */
  call(target: Target, request: unknown, context: CallContext, bytesMax: number, onValue?: (value: unknown) => void): Promise<unknown> {
    let frame: Uint8Array;
    let destination: Destination;
    const { inFlight } = target;
    const id = this.#nextId();
    const reply = `${this.#inbox}.${id}`;
    try {
      assertCallable(target.what, context);
      if (this.#connection.status !== 'connected') throw this.#connection.downError();
      if (inFlight.calls >= this.#bounds.inFlightMax) throw tooManyInFlight(target.what, this.#bounds.inFlightMax);
      const sentMs = systemClock.nowMs();
      const header = { id, timeLeftMs: timeLeftMs(context), traceparent: context.traceparent };
      frame = requestFrame(target.what, request, header, sentMs, bytesMax);
      // One message may always be under way, whatever its size.
      if (inFlight.bytes > 0 && inFlight.bytes + frame.byteLength > this.#bounds.inFlightBytesMax)
        throw tooManyBytesInFlight(target.what, inFlight.bytes);
      destination = target.routes.choose(target.routingKeyOf?.(request));
      this.#connection.publish(destination.subjectOf(target.method), frame, { reply });
    } catch (error) {
      return Promise.reject(toDiptychError(error));
    }
    return new Promise((resolve, reject) => {
      const call = new PendingCall(target, destination, context, id, frame.byteLength, this, resolve, reject, onValue);
      this.#pending.set(id, call);
      destination.outstanding++;
      inFlight.calls++;
      inFlight.bytes += call.bytes;
      callWatch.add(call);
    });
  }

  /** @internal */
  forget(call: PendingCall): void {
    if (!this.#pending.delete(call.id)) return;
    const { inFlight } = call.target;
    call.destination.outstanding--;
    inFlight.calls--;
    inFlight.bytes -= call.bytes;
  }

  /** @internal Tells whoever works on the call to stop, as far as that is possible. */
  withdraw(call: PendingCall): void {
    try {
      this.#connection.publish(call.destination.cancelSubject, EMPTY, { reply: `${this.#inbox}.${call.id}` });
    } catch {
      // Not connected: then the call's deadline ends the work.
    }
  }

  /** Ends the subscription. What is still in flight was lost with the connection. */
  close(): void {
    this.#loseAll('the link was closed');
    this.#replies[Symbol.dispose]();
    this.#status[Symbol.dispose]();
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId + 1) >>> 0;
    while (this.#pending.has(this.#lastId));
    return this.#lastId;
  }

  #take(message: Msg): void {
    const { subject, data } = message;
    const id = Number(subject.slice(this.#inbox.length + 1));
    if (data.byteLength === 0 && message.headers?.code === NO_RESPONDERS) {
      const call = this.#pending.get(id);
      return call?.fail(notServed(call.target.what));
    }
    if (looksLikeJson(data)) {
      const call = this.#pending.get(id);
      return call?.fail(errorFromRecord(jsonErrorOf(data), call.target.what));
    }
    let replies;
    try {
      ({ replies } = parseReplyFrame(data));
    } catch (error) {
      const call = this.#pending.get(id);
      return call?.fail(garbledReply(call.target.what, 'what cannot be read', error));
    }
    // A reply nobody waits for any more is dropped: its deadline has passed.
    for (const { id, kind, body } of replies) this.#pending.get(id)?.take(kind, body);
  }

  #loseAll(why: string): void {
    for (const call of [...this.#pending.values()])
      call.fail(new DiptychError('CONNECTION_LOST', `${why} while ${call.what} was in flight; it may have happened`));
  }
}

class PendingCall extends WatchedCall {
  constructor(
    readonly target: Target,
    readonly destination: Destination,
    context: CallContext,
    readonly id: number,
    readonly bytes: number,
    readonly requester: Requester,
    readonly resolve: (reply: unknown) => void,
    readonly reject: (error: DiptychError) => void,
    readonly onValue: ((value: unknown) => void) | undefined,
  ) {
    super(target.what, context);
  }

  take(kind: ReplyKind, body: Uint8Array): void {
    if (kind === ReplyKind.VALUE) return this.#takeValue(body);
    callWatch.release(this);
    this.requester.forget(this);
    try {
      if (kind === ReplyKind.ERROR) this.reject(errorFromRecord(decode(body), this.what));
      else this.resolve(acceptReply(this.what, body, this.target.replyFits));
    } catch (error) {
      this.reject(error instanceof DiptychError ? error : garbledReply(this.what, 'what cannot be decoded', error));
    }
  }

  #takeValue(body: Uint8Array): void {
    if (!this.onValue) return;
    try {
      this.onValue(acceptReply(this.what, body, this.target.replyFits));
    } catch (error) {
      this.fail(error instanceof DiptychError ? error : garbledReply(this.what, 'what cannot be decoded', error));
      this.requester.withdraw(this);
    }
  }

  fail(error: DiptychError): void {
    callWatch.release(this);
    this.requester.forget(this);
    this.reject(error);
  }

  override end(error: DiptychError): void {
    this.requester.forget(this);
    this.reject(error);
    if (error.code === 'CANCELLED') this.requester.withdraw(this);
  }
}

const EMPTY = new Uint8Array(0);
const NO_RESPONDERS = 503;
