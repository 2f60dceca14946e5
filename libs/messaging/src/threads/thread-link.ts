import type { MessagePort } from 'node:worker_threads';
import { DiptychError, systemClock } from '@diptych/kernel';
import type { FaultListener } from '../faults.js';
import { warnOfFault } from '../faults.js';
import type { Bounds, PortDescriptor } from '../port.js';
import { DEFAULT_BOUNDS } from '../port.js';
import { ThreadCalls } from './thread-calls.js';
import { fieldsOf, Item, Outbox } from './thread-frame.js';
import { ThreadServing } from './thread-serving.js';

/** The connection of two threads of one process. Both may call and both may serve. */
export interface ThreadLink {
  /**
   * The port as the other thread serves it, with the bounds, deadlines, cancellation and errors of every binding. Binary data arrives as a
   * copy; topics are `best-effort`.
   *
   * @throws (each call) as over NATS; CONNECTION_LOST when the other thread ends before it answers, UNAVAILABLE after that
   */
  client<Port>(descriptor: PortDescriptor<Port>): Port;
  /** Answers for the port until disposed of. */
  serve<Port>(descriptor: PortDescriptor<Port>, implementation: Port): Disposable;
  /** Calls to the other thread that wait for an answer. */
  readonly inFlight: number;
  /**
   * No new calls of this thread (UNAVAILABLE); those under way, both ways, have `graceMs` to end; then the link is gone for both sides. Safe
   * to repeat.
   *
   * @throws DEADLINE_EXCEEDED when some had to be cut off
   */
  close(graceMs: number): Promise<void>;
}

export interface ThreadLinkOptions {
  readonly bounds?: Partial<Bounds>;
  /** Default: warnings of the process. */
  readonly onFault?: FaultListener;
}

/**
 * Links this thread with the one that has the other end of the channel. What is ready together shares a message, as over NATS: at once when
 * nothing is under way, else at the end of the turn.
 *
 * @param port is the link's from now on
 */
export function linkThreads(port: MessagePort, options: ThreadLinkOptions = {}): ThreadLink {
  return new MessagePortLink(port, { ...DEFAULT_BOUNDS, ...options.bounds }, options.onFault ?? warnOfFault);
}

class MessagePortLink implements ThreadLink {
  readonly #port: MessagePort;
  readonly #outbox: Outbox;
  readonly #calls: ThreadCalls;
  readonly #serving: ThreadServing;
  readonly #gone: Promise<void>;
  #closing: Promise<void> | undefined;

  constructor(port: MessagePort, bounds: Bounds, onFault: FaultListener) {
    this.#port = port;
    this.#outbox = new Outbox(port, ([kind, id], error) => {
      if (kind === Item.CALL) this.#calls.unsendable(id as number, error);
      else this.#serving.unsendable(kind as Item, id as number, error);
    });
    // Each thread has a monotonic clock with a zero of its own; this one is the same in all threads.
    const shiftMs = Number(process.hrtime.bigint()) / 1e6 - systemClock.nowMs();
    const isBusy = () => this.#calls.size > 0 || this.#serving.size > 0;
    this.#calls = new ThreadCalls({ outbox: this.#outbox, bounds, onFault, shiftMs, isBusy });
    this.#serving = new ThreadServing({ outbox: this.#outbox, bounds, onFault, shiftMs });
    this.#gone = new Promise((resolve) => port.once('close', resolve));
    void this.#gone.then(() => {
      this.#outbox.drop();
      this.#calls.loseAll('the other thread ended');
      this.#serving.end();
    });
    port.on('message', (frame: readonly unknown[]) => this.#take(frame));
  }

  get inFlight(): number {
    return this.#calls.size;
  }

  client<Port>(descriptor: PortDescriptor<Port>): Port {
    return this.#calls.client(descriptor);
  }

  serve<Port>(descriptor: PortDescriptor<Port>, implementation: Port): Disposable {
    return this.#serving.serve(descriptor, implementation);
  }

  close(graceMs: number): Promise<void> {
    return (this.#closing ??= this.#close(graceMs));
  }

  async #close(graceMs: number): Promise<void> {
    this.#calls.close('the link to the other thread is closed');
    const endMs = systemClock.nowMs() + graceMs;
    let gone = false;
    void this.#gone.then(() => (gone = true));
    const isQuiet = () => gone || this.#calls.size + this.#serving.size === 0;
    while (!isQuiet() && systemClock.nowMs() < endMs) await new Promise<void>((resolve) => void systemClock.after(POLL_MS, resolve));
    const left = this.#calls.size + this.#serving.size;
    this.#outbox.flush();
    this.#port.close();
    await this.#gone;
    if (left > 0 && !gone)
      throw new DiptychError('DEADLINE_EXCEEDED', `${left} calls between two threads did not end within ${graceMs} ms`);
  }

  #take(frame: readonly unknown[]): void {
    for (let at = 0; at < frame.length;) {
      const kind = frame[at] as Item;
      const id = frame[at + 1] as number;
      const second = frame[at + 2];
      switch (kind) {
        case Item.CALL:
          this.#serving.call(id, second as string, frame[at + 3] as number, frame[at + 4] as string | undefined, frame[at + 5]);
          break;
        case Item.ANSWER:
          this.#calls.answer(id, second);
          break;
        case Item.ERROR:
          this.#calls.fail(id, second);
          break;
        case Item.CANCEL:
          this.#serving.cancel(id);
          break;
        case Item.SUBSCRIBE:
          this.#serving.subscribe(id, second as string);
          break;
        case Item.UNSUBSCRIBE:
          this.#serving.unsubscribe(id);
          break;
        case Item.EVENT:
          this.#calls.event(id, second);
          break;
        case Item.TAKEN:
          this.#serving.taken(id, second as number);
          break;
      }
      at += 1 + fieldsOf(kind);
    }
  }
}

const POLL_MS = 5;
