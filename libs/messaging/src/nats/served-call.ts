import type { DiptychError, StoppableContext } from '@diptych/kernel';
import type { Message } from './client/message.js';

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
  /** Who asks: the inbox of a process, and its number of the call. A plain client has an inbox for each call. */
  readonly inbox: string;
  readonly id: number;
  /** What it came in: for adapters, which get this call as the third argument of a method. */
  readonly message: Message;
  readonly context: StoppableContext;
  /** What its request takes. */
  readonly bytes: number;
  /** Nobody waits for its answer any more. */
  released = false;
  /** Hears of `stop` without a signal being made. */
  onStop: ((why: DiptychError) => void) | undefined;
  /** Its neighbours among the calls of its responder. */
  previous: ServedCall | undefined = undefined;
  following: ServedCall | undefined = undefined;

  constructor(exchange: Exchange, inbox: string, id: number, message: Message, bytes: number, context: StoppableContext) {
    this.exchange = exchange;
    this.inbox = inbox;
    this.id = id;
    this.message = message;
    this.bytes = bytes;
    this.context = context;
  }

  /** Tells the work to stop, through its signal. */
  stop(why: DiptychError): void {
    this.context.stop(why);
    this.onStop?.(why);
  }
}

/** The id of a call that has an inbox to itself. */
export const SOLE_CALL = -1;

/** The calls of a responder that somebody waits for. A list, since all but cancellations and the end of a drain only add and remove. */
export class ServedCalls {
  #first: ServedCall | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(call: ServedCall): void {
    call.following = this.#first;
    if (this.#first) this.#first.previous = call;
    this.#first = call;
    this.#size++;
  }

  remove(call: ServedCall): void {
    const { previous, following } = call;
    if (previous) previous.following = following;
    else this.#first = following;
    if (following) following.previous = previous;
    call.previous = undefined;
    call.following = undefined;
    this.#size--;
  }

  /** Looks at all of them: at most as many as may be in flight, 5 ns each. */
  find(inbox: string, id: number): ServedCall | undefined {
    for (let call = this.#first; call; call = call.following) if (call.id === id && call.inbox === inbox) return call;
    return undefined;
  }

  all(): ServedCall[] {
    const calls: ServedCall[] = [];
    for (let call = this.#first; call; call = call.following) calls.push(call);
    return calls;
  }
}
