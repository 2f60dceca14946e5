import { randomBytes } from 'node:crypto';
import { createInbox } from '@nats-io/transport-node';
import type { CallContext } from '@diptych/kernel';
import { DiptychError, systemClock } from '@diptych/kernel';
import { garbledReply } from '../binding-errors.js';
import { listenerFault } from '../bindings/local.js';
import { checkOf } from '../codec.js';
import type { FaultListener } from '../faults.js';
import { acceptReply } from '../messages.js';
import type { Bounds, PortDescriptor, Subscription, TopicDescriptor, UnaryDescriptor } from '../port.js';
import { subjectOf } from '../port.js';
import type { Connection, LinkStatus } from './connection.js';
import { Lateness } from './lateness.js';
import type { ClientOptions, NatsLink } from './nats-link.js';
import type { Target } from './pending-call.js';
import { Replies } from './replies.js';
import { Requester } from './requester.js';
import type { Responder } from './responder.js';
import { PortResponder } from './responder.js';
import type { RoutingCounts } from './routing/live-routes.js';
import { RouteTable } from './routing/route-table.js';
import { eventFrame, FRAME_OVERHEAD_BYTES, parseEventFrame } from './wire.js';

/**
 * What adapters need of a link besides ports.
 *
 * @throws INVALID_REQUEST when `connectNats` of this package did not make it
 * @internal
 */
export function outletOf(link: NatsLink): LinkOutlet {
  if (!(link instanceof Link)) throw new DiptychError('INVALID_REQUEST', 'the link was not made by connectNats of this package');
  return link;
}

/** @internal */
export interface LinkOutlet {
  readonly bounds: Bounds;
  /** @throws UNAVAILABLE when not connected, TOO_LARGE or INVALID_REQUEST: nothing was sent */
  publishEvent(subject: string, what: string, event: unknown): void;
  /** Resolves when the broker has taken all that was sent until now, or with the end of the connection. Never rejects. */
  flush(): Promise<void>;
}

/** @internal */
export class Link implements NatsLink, LinkOutlet {
  readonly #connection: Connection;
  readonly #bounds: Bounds;
  readonly #onFault: FaultListener;
  readonly #requester: Requester;
  readonly #lateness = new Lateness();
  readonly #replies: Replies;
  readonly #routes: RouteTable;
  readonly #responders = new Set<Responder>();
  /** Of this link, among all that serve. */
  readonly #instance = randomBytes(6).toString('base64url');
  #served = 0;
  #closing: Promise<void> | undefined;

  constructor(connection: Connection, bounds: Bounds, onFault: FaultListener) {
    this.#connection = connection;
    this.#bounds = bounds;
    this.#onFault = onFault;
    this.#requester = new Requester(connection, createInbox(), bounds);
    this.#routes = new RouteTable(connection, (destination) => this.#requester.lose(destination), onFault);
    this.#replies = new Replies(connection, () => this.#messageBytesMax(), onFault);
  }

  get status(): LinkStatus {
    return this.#connection.status;
  }

  get inFlight(): number {
    return this.#requester.inFlight;
  }

  get routing(): RoutingCounts {
    return this.#routes.counts;
  }

  onStatus(listener: (status: LinkStatus) => void): Disposable {
    return this.#connection.onStatus(listener);
  }

  get bounds(): Bounds {
    return this.#bounds;
  }

  publishEvent(subject: string, what: string, event: unknown): void {
    if (this.#connection.status !== 'connected') throw this.#connection.downError();
    this.#connection.publish(subject, eventFrame(what, event, this.#messageBytesMax()));
  }

  flush(): Promise<void> {
    return this.#connection.flush();
  }

  client<Port>(descriptor: PortDescriptor<Port>, { ownedByKey = false }: ClientOptions = {}): Port {
    const port: Record<string, unknown> = {};
    const routes = this.#routes.to(descriptor);
    for (const name of Object.keys(descriptor.methods)) {
      const what = `${descriptor.name}.${name}`;
      const subject = subjectOf(descriptor, name);
      const method = descriptor.methods[name as keyof Port] as UnaryDescriptor<never> | TopicDescriptor;
      if (method.kind === 'topic') {
        port[name] = (listener: (event: unknown) => void) => this.#listen(what, subject, method, listener);
        continue;
      }
      const target: Target = {
        what,
        method: name,
        routes,
        routingKeyOf: ownedByKey ? (method.routingKey as Target['routingKeyOf']) : undefined,
        replyFits: checkOf(method.reply),
        lanes: new WeakMap(),
        inFlight: this.#requester.inFlightOf(subject),
      };
      port[name] = (request: unknown, context: CallContext, onValue?: (value: unknown) => void) =>
        this.#requester.call(target, request, context, this.#messageBytesMax(), onValue);
    }
    return port as Port;
  }

  async serve<Port>(descriptor: PortDescriptor<Port>, implementation: Port): Promise<Responder> {
    if (this.#closing) throw this.#connection.downError();
    const responder = new PortResponder(
      {
        connection: this.#connection,
        // One that served, drained and serves again is another, and so is a second one of the same port.
        instance: `${this.#instance}-${++this.#served}`,
        lateness: this.#lateness,
        replies: this.#replies,
        bounds: this.#bounds,
        onFault: this.#onFault,
        messageBytesMax: () => this.#messageBytesMax(),
        onDrained: (drained) => this.#responders.delete(drained),
      },
      descriptor,
      implementation,
    );
    this.#responders.add(responder);
    try {
      await responder.start();
    } catch (error) {
      this.#responders.delete(responder);
      throw error;
    }
    return responder;
  }

  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    const endMs = systemClock.nowMs() + graceMs;
    await Promise.all([...this.#responders].map((responder) => responder.drain(endMs - systemClock.nowMs())));
    this.#replies.flush();
    this.#requester.close();
    this.#routes.close();
    await this.#connection.close();
  }

  /** The broker's own limit may be lower than ours. */
  #messageBytesMax(): number {
    return Math.min(this.#bounds.messageBytesMax, this.#connection.payloadBytesMax - FRAME_OVERHEAD_BYTES);
  }

  async #listen(what: string, subject: string, topic: TopicDescriptor, listener: (event: unknown) => void): Promise<Subscription> {
    if (this.#connection.status !== 'connected') throw this.#connection.downError();
    const eventFits = checkOf(topic.event);
    const kept = this.#connection.subscribe(subject, ({ data }) => {
      let event: unknown;
      try {
        event = acceptReply(what, parseEventFrame(data), eventFits);
      } catch (error) {
        return this.#onFault(error instanceof RangeError ? garbledReply(what, 'what cannot be read', error) : listenerFault(what, error));
      }
      try {
        listener(event);
      } catch (error) {
        this.#onFault(listenerFault(what, error));
      }
    });
    await this.#connection.flush();
    return { delivery: 'best-effort', [Symbol.dispose]: () => kept[Symbol.dispose]() };
  }
}
