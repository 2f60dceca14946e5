import { DiptychError, StoppableContext, toDiptychError } from '@diptych/kernel';
import { garbledReply, notServed } from '../binding-errors.js';
import { inProcess } from '../bindings/in-process.js';
import { listenerFault } from '../bindings/local.js';
import { errorToRecord } from '../codec.js';
import type { FaultListener } from '../faults.js';
import type { Bounds, PortDescriptor, Subscription, TopicMethod, UnaryMethod } from '../port.js';
import { subjectOf } from '../port.js';
import type { Outbox } from './thread-frame.js';
import { Item } from './thread-frame.js';

interface ServingOptions {
  readonly outbox: Outbox;
  readonly bounds: Bounds;
  readonly onFault: FaultListener;
  readonly shiftMs: number;
}

type Unary = UnaryMethod<unknown, unknown>;
type Topic = TopicMethod<unknown>;

/** What this thread does for the other: its ports, the calls under way, who listens. */
export class ThreadServing {
  readonly #options: ServingOptions;
  readonly #methods = new Map<string, Unary | Topic>();
  readonly #calls = new Map<number, StoppableContext>();
  readonly #audience = new Map<number, Audience>();

  constructor(options: ServingOptions) {
    this.#options = options;
  }

  /** Calls under way. */
  get size(): number {
    return this.#calls.size;
  }

  /** The in-process binding does what a server owes: schema, bounds, deadline, and errors of the table only. */
  serve<Port>(descriptor: PortDescriptor<Port>, implementation: Port): Disposable {
    const { bounds, onFault } = this.#options;
    const bound = inProcess(descriptor, implementation, bounds, onFault);
    const paths = Object.keys(descriptor.methods).map((name) => [subjectOf(descriptor, name), name] as const);
    for (const [path, name] of paths) this.#methods.set(path, bound[name as keyof Port] as Unary | Topic);
    return { [Symbol.dispose]: () => paths.forEach(([path]) => this.#methods.delete(path)) };
  }

  call(id: number, path: string, deadlineMs: number, traceparent: string | undefined, request: unknown): void {
    const method = this.#methods.get(path) as Unary | undefined;
    if (!method) return this.#fail(id, notServed(whatOf(path)));
    const context = new StoppableContext(deadlineMs - this.#options.shiftMs, traceparent);
    this.#calls.set(id, context);
    method(request, context).then(
      (reply) => {
        this.#calls.delete(id);
        this.#post(reply, Item.ANSWER, id);
      },
      (error: unknown) => {
        this.#calls.delete(id);
        this.#fail(id, error);
      },
    );
  }

  cancel(id: number): void {
    this.#calls.get(id)?.stop(new DiptychError('CANCELLED', 'the caller gave up'));
  }

  subscribe(id: number, path: string): void {
    const topic = this.#methods.get(path) as Topic | undefined;
    if (!topic) return this.#fail(id, notServed(whatOf(path)));
    const audience = new Audience(whatOf(path), this.#options.onFault, (event) => this.#options.outbox.post(false, event, Item.EVENT, id));
    this.#audience.set(id, audience);
    topic((event) => audience.offer(event)).then(
      (subscription) => {
        if (this.#audience.has(id)) audience.subscription = subscription;
        else subscription[Symbol.dispose]();
        this.#post(undefined, Item.ANSWER, id);
      },
      (error: unknown) => {
        this.#audience.delete(id);
        this.#fail(id, error);
      },
    );
  }

  unsubscribe(id: number): void {
    this.#audience.get(id)?.subscription?.[Symbol.dispose]();
    this.#audience.delete(id);
  }

  taken(id: number, count: number): void {
    this.#audience.get(id)?.taken(count);
  }

  /** A reply or an event that could not leave. */
  unsendable(kind: Item, id: number, error: unknown): void {
    if (kind === Item.ANSWER) this.#fail(id, garbledReply('the other thread', 'what cannot be encoded', error));
    else this.#options.onFault(new DiptychError('INTERNAL', 'an event cannot be encoded', { cause: error }));
  }

  /** The other thread is gone. */
  end(): void {
    for (const context of this.#calls.values()) context.stop(new DiptychError('CANCELLED', 'the calling thread ended'));
    for (const id of [...this.#audience.keys()]) this.unsubscribe(id);
  }

  #fail(id: number, error: unknown): void {
    this.#post(errorToRecord(toDiptychError(error)), Item.ERROR, id);
  }

  /** At once when nothing else is being worked on. */
  #post(value: unknown, kind: Item, id: number): void {
    this.#options.outbox.post(this.#calls.size === 0, value, kind, id);
  }
}

/** A listener in the other thread. Events that it is too slow for are dropped, or the memory of this process would be its queue. */
class Audience {
  subscription: Subscription | undefined;
  readonly #what: string;
  readonly #onFault: FaultListener;
  readonly #send: (event: unknown) => void;
  #untaken = 0;
  #isDropping = false;

  constructor(what: string, onFault: FaultListener, send: (event: unknown) => void) {
    this.#what = what;
    this.#onFault = onFault;
    this.#send = send;
  }

  offer(event: unknown): void {
    if (this.#untaken >= EVENTS_MAX) {
      if (!this.#isDropping) this.#onFault(listenerFault(this.#what, new Error('the other thread is too slow; events are dropped')));
      this.#isDropping = true;
      return;
    }
    this.#isDropping = false;
    this.#untaken++;
    this.#send(event);
  }

  taken(count: number): void {
    this.#untaken -= count;
  }
}

/** `diptych.log.v1.read`: `log.read` */
function whatOf(path: string): string {
  const parts = path.split('.');
  return `${parts[1]}.${parts.at(-1)}`;
}

const EVENTS_MAX = 4_096;
