import type { FaultListener } from '../faults.js';
import type { Bounds, PortDescriptor } from '../port.js';
import type { TlsOptions } from './client/broker.js';
import type { LinkStatus } from './connection.js';
import type { Responder } from './responder.js';
import type { RoutingCounts } from './routing/live-routes.js';

/**
 * A process's link to NATS: any number of clients and responders over one connection that heals by itself.
 *
 * While it is down, new calls fail at once with UNAVAILABLE, those in flight have become CONNECTION_LOST, and events are lost. When it is
 * back, everything works as before without anybody's doing.
 */
export interface NatsLink {
  readonly status: LinkStatus;
  /** Calls of this process's clients that wait for an answer. */
  readonly inFlight: number;
  /** The instances that its clients know, of all their ports. */
  readonly routing: RoutingCounts;
  /** Hears of every change from now on. Disposing ends it. */
  onStatus(listener: (status: LinkStatus) => void): Disposable;
  /**
   * A port that others serve. A call goes to one of the live instances, the less loaded of two random ones as this link knows them, or to the owner
   * of its key; see `routing/members.ts`. What that takes is made once a port, and ends with the link: two subscriptions and one timer.
   *
   * Each call may throw, besides what the implementation throws: UNAVAILABLE (not connected, or nobody serves it: at once),
   * OVERLOADED and TOO_LARGE (nothing was sent), DEADLINE_EXCEEDED, CANCELLED, CONNECTION_LOST and INTERNAL (it may have
   * happened; CONNECTION_LOST also when the broker says that the instance which had the call is gone). Topics are best-effort, in order; subscribing resolves once the broker knows, and throws UNAVAILABLE.
   */
  client<Port>(descriptor: PortDescriptor<Port>, options?: ClientOptions): Port;
  /**
   * Answers the calls of others, sharing them with all who serve the same port, and publishes the events of its topics. Values an implementation gets
   * are its own: they share nothing with the caller's.
   *
   * @throws UNAVAILABLE when the link is closed; what a topic of the implementation throws
   */
  serve<Port>(descriptor: PortDescriptor<Port>, implementation: Port): Promise<Responder>;
  /** Drains all responders within `graceMs`, then ends everything. Calls still in flight become CONNECTION_LOST. Never rejects. Safe to repeat. */
  close(graceMs: number): Promise<void>;
}

export interface ClientOptions {
  /**
   * Each call of a method that declares a `routingKey` goes to the instance that owns its key: the same for all callers that know the same instances.
   * When one comes or goes, or is silent for a second, only the keys move that it gets or had. Default false.
   */
  readonly ownedByKey?: boolean;
}

export interface NatsOptions {
  /** `nats://[user:password@]host[:port]`, one or several of a cluster. */
  readonly servers: string | readonly string[];
  /** Of this process, as the broker shows it. */
  readonly name: string;
  /** How long to try at first. Default 5,000. */
  readonly connectTimeoutMs?: number;
  readonly bounds?: Partial<Bounds>;
  /** With these there is no connection without TLS. */
  readonly tls?: TlsOptions;
  /** A broker is taken for gone after `pingsOutMax` (3) unanswered pings, `pingIntervalMs` (500) apart: within 2 s. */
  readonly pingIntervalMs?: number;
  readonly pingsOutMax?: number;
  /** Default: a warning of the process. */
  readonly onFault?: FaultListener;
}
