import type { CallContext } from './call-context.js';
import { assertAlive } from './call-context.js';
import { deadlines } from './deadline-wheel.js';
import { DiptychError } from './errors.js';

/**
 * A bounded channel between tasks, after Go's: sharing by communicating. `capacity` values wait inside; a sender that
 * finds it full waits in line (so the 17th sender blocks on a channel of 16), and with capacity 0 every send waits for its
 * receiver. The line of waiting senders is bounded too: one more is refused with OVERLOADED.
 *
 * Order is first in, first out, for values and for those who wait. A closed channel gives out what it still holds and then
 * ends; a send to it is refused.
 */
export class Channel<T> implements AsyncIterable<T> {
  readonly capacity: number;
  readonly #sendersMax: number;
  readonly #values = new Fifo<T>();
  readonly #senders = new Fifo<Sender<T>>();
  readonly #receivers = new Fifo<Receiver<T>>();
  #closed = false;

  /** @param options.sendersMax senders that may wait at once; default 1,024 */
  constructor(options: { capacity: number; sendersMax?: number }) {
    if (!Number.isSafeInteger(options.capacity) || options.capacity < 0)
      throw new RangeError(`capacity must be a whole number of 0 or more, is ${options.capacity}`);
    this.capacity = options.capacity;
    this.#sendersMax = options.sendersMax ?? 1024;
  }

  /** Values inside, not counting those of waiting senders. */
  get length(): number {
    return this.#values.size;
  }

  get waitingSenders(): number {
    return this.#senders.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends without waiting. False when that would wait or the channel is closed. */
  trySend(value: T): boolean {
    if (this.#closed) return false;
    const receiver = this.#receivers.shift();
    if (receiver) {
      receiver.take({ done: false, value });
      return true;
    }
    if (this.#values.size >= this.capacity) return false;
    this.#values.push(value);
    return true;
  }

  /**
   * Resolves when the value is inside or handed over.
   *
   * @throws OVERLOADED when too many senders wait already; UNAVAILABLE when the channel is or gets closed;
   *   DEADLINE_EXCEEDED or CANCELLED when the context ends first. All definite: the value was not and will not be sent.
   */
  async send(value: T, context?: CallContext): Promise<void> {
    if (context) assertAlive(context);
    if (this.#closed) throw closedError();
    if (this.trySend(value)) return;
    if (this.#senders.size >= this.#sendersMax)
      throw new DiptychError('OVERLOADED', `the channel is full and ${this.#sendersMax} senders wait already`);
    await new Promise<void>((resolve, reject) => {
      const sender: Sender<T> = { value, accept: resolve, refuse: reject };
      const node = this.#senders.push(sender);
      if (!context) return;
      const release = onEnd(context, (error) => {
        this.#senders.remove(node);
        reject(error);
      });
      sender.accept = () => (release(), resolve());
      sender.refuse = (error) => (release(), reject(error));
    });
  }

  /** The next value without waiting, or undefined when none is ready. */
  tryReceive(): { value: T } | undefined {
    if (this.#values.size > 0) {
      const value = this.#values.shift() as T;
      this.#admitSender();
      return { value };
    }
    const sender = this.#senders.shift();
    if (!sender) return undefined;
    sender.accept();
    return { value: sender.value };
  }

  /**
   * The next value, or `done` once the channel is closed and empty.
   *
   * @throws DEADLINE_EXCEEDED or CANCELLED when the context ends first; no value is lost by it
   */
  async receive(context?: CallContext): Promise<IteratorResult<T, undefined>> {
    if (context) assertAlive(context);
    const ready = this.tryReceive();
    if (ready) return { done: false, value: ready.value };
    if (this.#closed) return { done: true, value: undefined };
    return new Promise((resolve, reject) => {
      const receiver: Receiver<T> = { take: resolve };
      const node = this.#receivers.push(receiver);
      if (!context) return;
      const release = onEnd(context, (error) => {
        this.#receivers.remove(node);
        reject(error);
      });
      receiver.take = (result) => (release(), resolve(result));
    });
  }

  /** No more values go in; waiting senders are refused with UNAVAILABLE. Safe to repeat. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (let sender = this.#senders.shift(); sender; sender = this.#senders.shift()) sender.refuse(closedError());
    for (let receiver = this.#receivers.shift(); receiver; receiver = this.#receivers.shift())
      receiver.take({ done: true, value: undefined });
  }

  /** Receives until the channel is closed and empty. Leaving the loop does not close the channel. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (let result = await this.receive(); !result.done; result = await this.receive()) yield result.value;
  }

  #admitSender(): void {
    const sender = this.#senders.shift();
    if (!sender) return;
    this.#values.push(sender.value);
    sender.accept();
  }
}

interface Sender<T> {
  readonly value: T;
  accept: () => void;
  refuse: (error: DiptychError) => void;
}

interface Receiver<T> {
  take: (result: IteratorResult<T, undefined>) => void;
}

function closedError(): DiptychError {
  return new DiptychError('UNAVAILABLE', 'the channel is closed');
}

/** Calls `callback` once when the context ends; the returned function calls it off. */
function onEnd(context: CallContext, callback: (error: DiptychError) => void): () => void {
  const { signal } = context;
  const release = () => {
    timer[Symbol.dispose]();
    signal?.removeEventListener('abort', onAbort);
  };
  const onAbort = () => {
    release();
    callback(new DiptychError('CANCELLED', 'cancelled while waiting on a channel', { definite: true, cause: signal?.reason }));
  };
  const timer = deadlines.at(context.deadlineMs, () => {
    release();
    callback(new DiptychError('DEADLINE_EXCEEDED', 'the deadline passed while waiting on a channel', { definite: true }));
  });
  signal?.addEventListener('abort', onAbort, { once: true });
  return release;
}

interface Node<T> {
  readonly value: T;
  previous: Node<T> | undefined;
  next: Node<T> | undefined;
  linked: boolean;
}

/** A doubly linked queue: O(1) at both ends and for whoever leaves the line early. */
class Fifo<T> {
  #first: Node<T> | undefined;
  #last: Node<T> | undefined;
  size = 0;

  push(value: T): Node<T> {
    const node: Node<T> = { value, previous: this.#last, next: undefined, linked: true };
    if (this.#last) this.#last.next = node;
    else this.#first = node;
    this.#last = node;
    this.size++;
    return node;
  }

  shift(): T | undefined {
    const node = this.#first;
    if (!node) return undefined;
    this.remove(node);
    return node.value;
  }

  remove(node: Node<T>): void {
    if (!node.linked) return;
    node.linked = false;
    if (node.previous) node.previous.next = node.next;
    else this.#first = node.next;
    if (node.next) node.next.previous = node.previous;
    else this.#last = node.previous;
    this.size--;
  }
}
