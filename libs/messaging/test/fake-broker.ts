import type { Clock } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import type { Message } from '../src/nats/client/message.js';
import type { LinkStatus } from '../src/nats/connection.js';
import type { Line } from '../src/nats/routing/live-routes.js';

/**
 * A broker and the processes connected to it, in one process and on a clock that tests move. It keeps what routing relies on: all that one
 * process gets, echoes too, comes in the order in which the broker gave it out; whoever publishes where nobody listens is told; a process that does not run
 * neither reads nor fires timers, and when it goes on its timers come before its socket.
 */
export class FakeBroker {
  readonly clock = new FakeClock({ nowMs: 1_000 });
  readonly processes: FakeProcess[] = [];
  /** While true it takes, and gives out nothing. */
  #stalled = false;
  #held: Array<() => void> = [];

  join(): FakeProcess {
    const process = new FakeProcess(this);
    this.processes.push(process);
    return process;
  }

  stall(): void {
    this.#stalled = true;
  }

  goOn(): void {
    this.#stalled = false;
    for (const step of this.#held.splice(0)) step();
  }

  /** All connections break; each process comes back on its own. */
  restart(): void {
    this.#held = [];
    this.#stalled = false;
    for (const process of this.processes) process.disconnect();
  }

  /** @internal */
  handle(step: () => void): void {
    if (this.#stalled) this.#held.push(step);
    else step();
  }

  /** @internal */
  route(from: FakeProcess, subject: string, data: Uint8Array, reply: string | undefined): void {
    const takers = this.processes.filter((process) => process.listensTo(subject));
    for (const taker of takers) taker.receive(subject, data, reply, undefined);
    if (takers.length === 0 && reply) from.receive(reply, new Uint8Array(0), undefined, 503);
  }
}

/** A process with its connection, and the clock as it sees it. */
export class FakeProcess implements Line, Clock {
  status: LinkStatus = 'connected';
  sent = 0;
  readonly #broker: FakeBroker;
  readonly #subscriptions = new Map<symbol, { subject: string; onMessage: (message: Message) => void }>();
  readonly #listeners = new Set<(status: LinkStatus) => void>();
  /** What it has to read: nothing of it is read while it is frozen. */
  #socket: Array<() => void> = [];
  #due: Array<() => void> = [];
  #frozen = false;
  #connection = 0;
  #flushes = new Set<() => void>();

  constructor(broker: FakeBroker) {
    this.#broker = broker;
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    for (const fire of this.#due.splice(0)) fire();
    while (this.#socket.length > 0 && !this.#frozen) this.#socket.shift()!();
  }

  /** Its connection is gone, and it does not notice by itself: it is dead, or about to `reconnect`. */
  disconnect(): void {
    this.#connection++;
    this.#socket = [];
    this.#become('disconnected');
    for (const flushed of [...this.#flushes]) flushed();
  }

  reconnect(): void {
    if (this.status === 'disconnected') this.#become('connected');
  }

  listensTo(subject: string): boolean {
    return this.status === 'connected' && [...this.#subscriptions.values()].some((one) => fits(one.subject, subject));
  }

  receive(subject: string, data: Uint8Array, reply: string | undefined, code: number | undefined): void {
    this.#read(() => {
      const message = { subject, data, reply, headers: code === undefined ? undefined : { code } } as unknown as Message;
      for (const one of [...this.#subscriptions.values()]) if (fits(one.subject, subject)) one.onMessage(message);
    });
  }

  nowMs(): number {
    return this.#broker.clock.nowMs();
  }

  wallMs(): number {
    return this.#broker.clock.wallMs();
  }

  after(delayMs: number, callback: () => void): Disposable {
    let disposed = false;
    const fire = () => {
      if (disposed) return;
      if (this.#frozen) this.#due.push(fire);
      else callback();
    };
    const timer = this.#broker.clock.after(delayMs, fire);
    return {
      [Symbol.dispose]() {
        disposed = true;
        timer[Symbol.dispose]();
      },
    };
  }

  every(): Disposable {
    throw new Error('not needed here');
  }

  subscribe(subject: string, onMessage: (message: Message) => void): Disposable {
    const key = Symbol(subject);
    this.#subscriptions.set(key, { subject, onMessage });
    return { [Symbol.dispose]: () => void this.#subscriptions.delete(key) };
  }

  publish(subject: string, data: Uint8Array, options: { reply?: string } = {}): void {
    if (this.status !== 'connected') throw new Error('not connected');
    this.sent++;
    this.#broker.handle(() => this.#broker.route(this, subject, data, options.reply));
  }

  /** Settles at once when its echo is read, or the connection lost, so that a test need not wait for promises. */
  flush(): Promise<void> {
    let done: (() => void) | undefined;
    const flushed = () => {
      if (this.#flushes.delete(flushed)) done?.();
    };
    this.#flushes.add(flushed);
    this.#broker.handle(() => this.#read(flushed));
    return { then: (callback: () => void) => (done = callback) } as unknown as Promise<void>;
  }

  onStatus(listener: (status: LinkStatus) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** The way takes 0.2 ms. What was under way on a connection that broke is lost. */
  #read(step: () => void): void {
    const connection = this.#connection;
    this.#broker.clock.after(0.2, () => {
      if (connection !== this.#connection) return;
      if (this.#frozen || this.#socket.length > 0) this.#socket.push(step);
      else step();
    });
  }

  #become(status: LinkStatus): void {
    this.status = status;
    for (const listener of [...this.#listeners]) listener(status);
  }
}

function fits(pattern: string, subject: string): boolean {
  return pattern.endsWith('.*')
    ? subject.startsWith(pattern.slice(0, -1)) && !subject.slice(pattern.length - 1).includes('.')
    : pattern === subject;
}
