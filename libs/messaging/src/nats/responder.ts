import { DiptychError, systemClock } from '@diptych/kernel';
import type { Message } from './client/message.js';
import { notServed } from '../binding-errors.js';
import { listenerFault } from '../bindings/local.js';
import { checkOf } from '../codec.js';
import type { FaultListener } from '../faults.js';
import type { Bounds, PortDescriptor, Subscription, TopicDescriptor, UnaryDescriptor } from '../port.js';
import { addressOf, subjectOf } from '../port.js';
import { before } from './before.js';
import type { Connection } from './connection.js';
import type { KeptSubscription } from './kept-subscription.js';
import type { Lateness } from './lateness.js';
import type { ServedMethod } from './port-calls.js';
import { PortCalls } from './port-calls.js';
import type { Replies } from './replies.js';
import { Heartbeat } from './routing/heartbeat.js';
import { CANCEL_METHOD } from './routing/routes.js';
import { NOTICE_MS } from './settle.js';
import { eventFrame } from './wire.js';

/** Serves one port of this process to all others. */
export interface Responder {
  /** What its beats call it: another each time that a port is served. */
  readonly instance: string;
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
  readonly #calls: PortCalls;
  /** These are heard of until the last call is answered. */
  readonly #cancellations: KeptSubscription[] = [];
  /** Ports with conventions of their own may have no subjects that name an instance. */
  readonly #isAddressed: boolean;
  readonly #heartbeat: Heartbeat | undefined;
  readonly #count: Disposable;
  #draining: Promise<void> | undefined;

  constructor(host: ResponderHost, descriptor: PortDescriptor<Port>, implementation: Port) {
    this.#host = host;
    this.#descriptor = descriptor;
    this.#implementation = implementation as Record<string, unknown>;
    this.#calls = new PortCalls(host, descriptor.name, this.#implementation);
    const { connection, instance } = host;
    const { wire } = descriptor;
    this.#isAddressed = !wire || wire.addressOf !== undefined;
    const inFlight = () => this.#calls.inFlight;
    if (this.#isAddressed) this.#heartbeat = new Heartbeat(descriptor, connection, { instance, inFlight, catalog: wire?.catalog?.() });
    this.#count = connection.regard({ announceMove: () => this.#heartbeat?.move() });
  }

  get instance(): string {
    return this.#host.instance;
  }

  get inFlight(): number {
    return this.#calls.inFlight;
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
      this.#hearCancellations();
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
    // A cluster drops what one of its brokers has passed on when we no longer listen: who has just been told sends nothing more to us.
    if (this.#heartbeat && connection.status === 'connected')
      await before(Math.min(endMs, systemClock.nowMs() + NOTICE_MS), new Promise(() => undefined));
    // However short the grace: what the broker has given out to us is answered, or it would be waited for until its deadline.
    await before(atLeast(endMs), Promise.all(this.#subscriptions.map((subscription) => subscription.drain())));
    await this.#calls.answered(endMs);
    if (this.#calls.awaited > 0)
      onFault(new DiptychError('DEADLINE_EXCEEDED', `${name}: ${this.#calls.awaited} calls were not finished within ${graceMs} ms`));
    this.#calls.abandonAll();
    // Events last: those of the calls just answered are part of what was promised.
    for (const topic of this.#topics.splice(0)) topic[Symbol.dispose]();
    replies.flush();
    this.#heartbeat?.end();
    await before(atLeast(endMs), connection.flush());
    for (const subscription of [...this.#subscriptions, ...this.#cancellations]) subscription[Symbol.dispose]();
    this.#count[Symbol.dispose]();
    onDrained(this);
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
        (message) => this.#take(served, message),
        queue === undefined ? { takesCalls: true } : { queue, takesCalls: true },
      ),
    );
  }

  #take(method: ServedMethod, message: Message): void {
    const { wire } = this.#descriptor;
    if (wire) this.#calls.takeByWire(wire, method, message);
    else this.#calls.take(method, message);
  }

  /** What is sent to this instance and to no other: its subjects are those of the methods and one token more. */
  #serveInstance(): void {
    const { connection, instance } = this.#host;
    if (!this.#isAddressed) return;
    const { name: port, wire } = this.#descriptor;
    const subject = `${addressOf(this.#descriptor, '*')}.${instance}`;
    const methodStart = subject.indexOf('*');
    const take = (message: Message) => {
      const token = message.subject.slice(methodStart, -instance.length - 1);
      const name = wire?.methodAt ? wire.methodAt(token) : token;
      const method = name === undefined ? undefined : this.#methods.get(name);
      if (method) this.#take(method, message);
      // Cancellations are subjects of this form too, and heard elsewhere.
      else if (message.reply && token !== CANCEL_METHOD) this.#calls.refuse(message.reply, notServed(`${port}.${name ?? token}`));
    };
    this.#subscriptions.push(connection.subscribe(subject, take, { takesCalls: true }));
  }

  #hearCancellations(): void {
    const { connection, instance } = this.#host;
    const subject = subjectOf(this.#descriptor, CANCEL_METHOD);
    const cancel = (message: Message) => this.#calls.cancel(message);
    this.#cancellations.push(connection.subscribe(subject, cancel));
    if (this.#isAddressed) this.#cancellations.push(connection.subscribe(`${subject}.${instance}`, cancel));
  }
}

/** Long enough for a broker that answers. One that does not shall not hold up the end. */
const CONFIRM_MS = 250;
function atLeast(endMs: number): number {
  return Math.max(endMs, systemClock.nowMs() + CONFIRM_MS);
}
