import type { CallContext } from '@diptych/kernel';
import { DiptychError, toDiptychError } from '@diptych/kernel';
import type { Message } from './client/message.js';
import { garbledReply, notServed, tooManyBytesInFlight, tooManyInFlight } from '../binding-errors.js';
import { assertCallable, callWatch } from '../call-watch.js';
import { errorFromRecord } from '../codec.js';
import type { Part } from '../part.js';
import type { Bounds } from '../port.js';
import { CallSender } from './call-sender.js';
import type { Connection } from './connection.js';
import type { KeptSubscription } from './kept-subscription.js';
import { Denials } from './denials.js';
import { jsonErrorOf } from './json.js';
import type { InFlight, PendingCalls, Target } from './pending-call.js';
import { PendingCall, UNSENT } from './pending-call.js';
import { PendingRing } from './pending-ring.js';
import type { Destination } from './routing/routes.js';
import { ReplyReader } from './frame-readers.js';
import { callPart, looksLikeJson } from './wire.js';

/** The calling side of a process: all calls of all its clients, and one reply subscription for all of them. When calls leave, `CallSender` says. */
export class Requester implements PendingCalls {
  readonly #connection: Connection;
  readonly #inbox: string;
  readonly #bounds: Bounds;
  readonly #pending = new PendingRing<PendingCall>();
  /** By subject; there are as many as methods, and as Nest patterns, which may be made up of data. */
  readonly #inFlight = new Map<string, InFlight>();
  readonly #replies: KeptSubscription;
  readonly #count: Disposable;
  readonly #status: Disposable;
  readonly #denials: Denials;
  readonly #sender: CallSender;

  constructor(connection: Connection, inbox: string, bounds: Bounds) {
    this.#connection = connection;
    this.#inbox = inbox;
    this.#bounds = bounds;
    this.#sender = new CallSender(connection, inbox, () => this.#pending.size === 1);
    this.#replies = connection.subscribe(`${inbox}.*`, (message) => this.#take(message));
    this.#count = connection.regard({ inFlight: () => this.#pending.size });
    this.#status = connection.onStatus((status) => {
      // What is denied to the next connection is heard of before it counts as made.
      if (status === 'connected') return;
      this.#denials.forgetAll();
      this.#loseAll(status === 'closed' ? 'the link was closed' : 'the connection to NATS was lost');
    });
    this.#denials = new Denials(connection, inbox, { pending: () => this.#pending.all(), reroute: (call) => this.#reroute(call) });
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  /** The counters of one method. */
  inFlightOf(subject: string): InFlight {
    let inFlight = this.#inFlight.get(subject);
    if (inFlight) return inFlight;
    // Whoever still has one of these goes on counting with it: of an idle method that is as good as another.
    if (this.#inFlight.size >= METHODS_MAX) for (const [idle, { calls }] of this.#inFlight) if (calls === 0) this.#inFlight.delete(idle);
    this.#inFlight.set(subject, (inFlight = { calls: 0, bytes: 0 }));
    return inFlight;
  }

  /** @param onValue gets the values of a stream before the answer; without it they are dropped. Must not throw */
  call(target: Target, request: unknown, context: CallContext, bytesMax: number, onValue?: (value: unknown) => void): Promise<unknown> {
    let part: Part;
    let destination: Destination;
    const { inFlight, what } = target;
    try {
      assertCallable(what, context);
      this.#connection.assertWritable();
      this.#denials.assertHearing();
      if (inFlight.calls >= this.#bounds.inFlightMax) throw tooManyInFlight(what, this.#bounds.inFlightMax);
      part = callPart(what, request, context.deadlineMs, context.traceparent, bytesMax);
      // One message may always be under way, whatever its size.
      if (inFlight.bytes > 0 && inFlight.bytes + part.byteLength > this.#bounds.inFlightBytesMax)
        throw tooManyBytesInFlight(what, inFlight.bytes);
      destination = target.routes.choose(target.routingKeyOf?.(request));
    } catch (error) {
      return Promise.reject(toDiptychError(error));
    }
    return new Promise((resolve, reject) => {
      const call = new PendingCall(target, destination, request, context, part.byteLength, this, resolve, reject, onValue);
      this.#pending.add(call);
      destination.outstanding++;
      inFlight.calls++;
      inFlight.bytes += call.bytes;
      callWatch.add(call);
      this.#sender.post(call, part);
    });
  }

  forget(call: PendingCall): void {
    if (!this.#pending.delete(call)) return;
    const { inFlight } = call.target;
    call.destination.outstanding--;
    inFlight.calls--;
    inFlight.bytes -= call.bytes;
  }

  withdraw(call: PendingCall): void {
    try {
      // Not with a reply subject: should nobody listen, the broker would say so to the frame that the call is the first of.
      this.#connection.publish(call.destination.cancelSubject, Buffer.from(`${this.#inbox}.${call.id}`, 'latin1'));
    } catch {
      // Not connected: then the call's deadline ends the work.
    }
  }

  /**
   * Ends what was sent to a destination that is gone: nobody will answer it, and what was begun there may have happened. What was sent when it
   * had gone already is refused by the broker and can go to another, so that word is waited for.
   */
  lose(destination: Destination): void {
    const sent = this.#pending.all().filter((call) => call.destination === destination && call.isSent);
    if (sent.length === 0) return;
    void this.#connection.flush().then(() => {
      for (const call of sent) {
        if (!call.settled && call.destination === destination && call.isSent)
          call.fail(new DiptychError('CONNECTION_LOST', `the instance that ${call.what} was sent to is gone; it may have happened`));
      }
    });
  }

  /** Ends the subscription. What is still in flight was lost with the connection. */
  close(): void {
    this.#loseAll('the link was closed');
    this.#replies[Symbol.dispose]();
    this.#status[Symbol.dispose]();
    this.#count[Symbol.dispose]();
    this.#denials[Symbol.dispose]();
  }

  #take(message: Message): void {
    const { data } = message;
    if (data.byteLength === 0 || looksLikeJson(data)) return this.#takePlain(message);
    let reader: ReplyReader;
    try {
      reader = new ReplyReader(data);
    } catch (error) {
      for (const call of this.#sentWith(message)) call.fail(garbledReply(call.what, 'what cannot be read', error));
      return;
    }
    let from: Destination | undefined;
    while (reader.next()) {
      const call = this.#pending.get(reader.id);
      // A reply nobody waits for any more is dropped: its deadline has passed.
      if (!call) continue;
      if (call.destination !== from) {
        from = call.destination;
        from.answered();
      }
      call.take(reader);
    }
  }

  /** What is no frame of replies says something about all calls of a frame of requests: that nobody took it, or that nobody could read it. */
  #takePlain(message: Message): void {
    const { data } = message;
    const calls = this.#sentWith(message);
    if (calls.length === 0) return;
    if (data.byteLength === 0 && message.headers?.code === NO_RESPONDERS) {
      calls[0]!.destination.refused();
      for (const call of calls) this.#reroute(call);
      return;
    }
    for (const call of calls)
      call.fail(data.byteLength === 0 ? garbledReply(call.what, 'an empty message') : errorFromRecord(jsonErrorOf(data), call.what));
  }

  /** The calls whose frame the message answers. */
  #sentWith(message: Message): PendingCall[] {
    const frame = Number(message.subject.slice(this.#inbox.length + 1));
    return frame >= 0 ? this.#pending.all().filter((call) => call.frame === frame) : [];
  }

  /** Nobody took it, so nothing was begun: it may go to somebody else, and at last to whoever there is. */
  #reroute(call: PendingCall): void {
    const { target, context, request } = call;
    const { anyone } = target.routes;
    if (call.destination === anyone || call.attempts >= ATTEMPTS_MAX) return call.fail(notServed(call.what));
    try {
      const part = callPart(call.what, request, context.deadlineMs, context.traceparent, Number.POSITIVE_INFINITY);
      const next = call.attempts === ATTEMPTS_MAX - 1 ? anyone : target.routes.choose(target.routingKeyOf?.(request));
      // As if it had never left: what is said from now on about the frame it was in is about others.
      call.frame = UNSENT;
      call.destination.outstanding--;
      call.destination = next;
      next.outstanding++;
      this.#sender.post(call, part);
    } catch (error) {
      call.fail(toDiptychError(error));
    }
  }

  #loseAll(why: string): void {
    this.#sender.clear();
    for (const call of this.#pending.all()) {
      call.fail(
        call.isSent
          ? new DiptychError('CONNECTION_LOST', `${why} while ${call.what} was in flight; it may have happened`)
          : this.#connection.downError(),
      );
    }
  }
}

const NO_RESPONDERS = 503;
/** The first, another, and the queue group. */
const ATTEMPTS_MAX = 3;
/** As many as the patterns that a Nest client remembers. */
const METHODS_MAX = 10_000;
