import type { CallContext } from './call-context.js';
import { assertAlive } from './call-context.js';
import { deadlines, type DeadlineWheel, onContextEnd } from './deadline-wheel.js';
import { DiptychError } from './errors.js';
import { Fifo } from './fifo.js';

/**
 * A bounded channel between tasks, after Go's: sharing by communicating. `capacity` values wait inside; a sender that
 * finds it full waits in line (so the 17th sender blocks on a channel of 16), and with capacity 0 every send waits for its
 * receiver. The lines of those who wait are bounded too: one more is refused with OVERLOADED.
 *
 * Order is first in, first out, for values and for those who wait. A closed channel gives out what it still holds and then
 * ends; a send to it is refused (Go panics there). A value is either delivered once, or its send failed: whoever leaves a
 * line, by deadline or signal, takes nothing along and leaves nothing behind.
 *
 * Three things are always so: senders wait only while the channel is full, receivers only while it is empty and no sender
 * waits, and nobody waits on a closed channel.
 */
export class Channel<T> implements AsyncIterable<T> {
  readonly capacity: number;
  readonly #sendersMax: number;
  readonly #receiversMax: number;
  readonly #wheel: DeadlineWheel;
  readonly #values = new Fifo<T>();
  readonly #senders = new Fifo<Sender<T>>();
  readonly #receivers = new Fifo<Receiver<T>>();
  #closed = false;

  /**
   * @param options.capacity values inside, 0 or more
   * @param options.sendersMax senders that may wait at once; default 1,024
   * @param options.receiversMax receivers that may wait at once; default 1,024
   * @param options.wheel where deadlines are kept, and whose clock they are read on; default the wheel of this process
   */
  constructor(options: { capacity: number; sendersMax?: number; receiversMax?: number; wheel?: DeadlineWheel }) {
    this.capacity = countOf('capacity', options.capacity);
    this.#sendersMax = countOf('sendersMax', options.sendersMax ?? 1024);
    this.#receiversMax = countOf('receiversMax', options.receiversMax ?? 1024);
    this.#wheel = options.wheel ?? deadlines;
  }

  /** Values inside, not counting those of waiting senders. */
  get length(): number {
    return this.#values.size;
  }

  get waitingSenders(): number {
    return this.#senders.size;
  }

  get waitingReceivers(): number {
    return this.#receivers.size;
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
    if (context) assertAlive(context, this.#wheel.clock);
    if (this.#closed) throw closedError();
    if (this.trySend(value)) return;
    if (this.#senders.size >= this.#sendersMax)
      throw new DiptychError('OVERLOADED', `the channel is full and ${this.#sendersMax} senders wait already`);
    await new Promise<void>((resolve, reject) => {
      const sender: Sender<T> = { value, accept: resolve, refuse: reject };
      const callOff = this.#joinLine(this.#senders, sender, context, reject);
      if (!callOff) return;
      sender.accept = () => (callOff(), resolve());
      sender.refuse = (error) => (callOff(), reject(error));
    });
  }

  /** The next value without waiting, or undefined when none is ready. */
  tryReceive(): { value: T } | undefined {
    if (this.#values.size > 0) {
      const value = this.#values.shift() as T;
      const sender = this.#senders.shift();
      if (sender) {
        this.#values.push(sender.value);
        sender.accept();
      }
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
   * @throws OVERLOADED when too many receivers wait already; DEADLINE_EXCEEDED or CANCELLED when the context ends first.
   *   No value is lost by it.
   */
  async receive(context?: CallContext): Promise<IteratorResult<T, undefined>> {
    if (context) assertAlive(context, this.#wheel.clock);
    const ready = this.tryReceive();
    if (ready) return { done: false, value: ready.value };
    if (this.#closed) return { done: true, value: undefined };
    if (this.#receivers.size >= this.#receiversMax)
      throw new DiptychError('OVERLOADED', `the channel is empty and ${this.#receiversMax} receivers wait already`);
    return new Promise((resolve, reject) => {
      const receiver: Receiver<T> = { take: resolve };
      const callOff = this.#joinLine(this.#receivers, receiver, context, reject);
      if (callOff) receiver.take = (result) => (callOff(), resolve(result));
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

  /** The waiter leaves the line when its context ends; the returned function, to be called when it is served, calls that off. */
  #joinLine<W>(
    line: Fifo<W>,
    waiter: W,
    context: CallContext | undefined,
    reject: (error: DiptychError) => void,
  ): (() => void) | undefined {
    const leave = (code: 'CANCELLED' | 'DEADLINE_EXCEEDED', cause?: unknown) => {
      line.remove(place);
      const message = code === 'CANCELLED' ? 'cancelled while waiting on a channel' : 'the deadline passed while waiting on a channel';
      reject(new DiptychError(code, message, { definite: true, cause }));
    };
    // Before joining, because it refuses a context without a finite deadline.
    const callOff = context && onContextEnd(context, leave, this.#wheel);
    const place = line.push(waiter);
    return callOff;
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

function countOf(name: string, count: number): number {
  if (Number.isSafeInteger(count) && count >= 0) return count;
  throw new RangeError(`${name} must be a whole number of 0 or more, is ${count}`);
}
