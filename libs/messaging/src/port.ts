import type { CallContext } from '@diptych/kernel';
import type { TSchema } from 'typebox';
import type { PortWire } from './nats/port-wire.js';

/**
 * A *port* is the typed interface of one part. Its TypeScript interface says what it does; its descriptor, written with
 * `definePort`, says how it crosses a process boundary. A caller reaches it by one of three bindings, and cannot tell which:
 *
 *   in-process   a call; values by reference
 *   loopback     encode and decode, no broker
 *   NATS         another process
 *
 * A port has methods of two kinds. A *unary* method takes one request and gives one reply or one error of the table. A
 * *topic* method broadcasts events to whoever listens: in order and at once in-process, at most once over NATS, so whoever
 * depends on having seen all of them links the events and checks (see `follow` in @diptych/log).
 *
 * A request is lent to its call: whoever made it leaves it as it is until the call has settled. In-process the implementation reads that very value; over
 * NATS it is encoded at once, and encoded anew if the instance that it was sent to turns out to be gone, for the next one.
 */
export type UnaryMethod<Request, Reply> = (request: Request, context: CallContext) => Promise<Reply>;
export type TopicMethod<Event> = (listener: (event: Event) => void) => Promise<Subscription>;

/** Disposing ends it; no event is delivered afterwards. Safe to repeat. */
export interface Subscription extends Disposable {
  /**
   * `synchronous`: the listener runs inside the very step that causes the event, so nobody can observe the cause
   * without the effect. `best-effort`: later, possibly never.
   */
  readonly delivery: 'synchronous' | 'best-effort';
}

export interface UnaryDescriptor<Request> {
  readonly kind: 'unary';
  readonly request: TSchema;
  readonly reply: TSchema;
  /** Whether a repeat with the same request is harmless, so that a retry may follow an indefinite error. */
  readonly safeToRepeat: boolean;
  /** What to route by when instances own keys. */
  readonly routingKey?: (request: Request) => string;
}

export interface TopicDescriptor {
  readonly kind: 'topic';
  readonly event: TSchema;
}

// A topic method, having fewer parameters, would pass for a unary one; so that question comes first.
export type MethodDescriptor<Method> =
  Method extends TopicMethod<infer _Event>
    ? TopicDescriptor
    : Method extends UnaryMethod<infer Request, unknown>
      ? UnaryDescriptor<Request>
      : never;

/** The methods of a port interface, and nothing else. */
export type PortMethods<Port> = { readonly [Name in keyof Port]: MethodDescriptor<Port[Name]> };

export interface PortDescriptor<Port> {
  /** Also the queue group of its servers. */
  readonly name: string;
  /** Raised when a change breaks callers. Part of every subject. */
  readonly version: number;
  readonly methods: PortMethods<Port>;
  /** Only for adapters to other conventions, such as Nest's patterns. */
  readonly wire?: PortWire;
}

/** `definePort<CachePort>({ ... })`: the compiler checks that every method of the interface is described, and by its kind. */
export function definePort<Port>(descriptor: PortDescriptor<Port>): PortDescriptor<Port> {
  return descriptor;
}

/** What the subjects of a port follow from. */
export type PortIdentity = Pick<PortDescriptor<unknown>, 'name' | 'version' | 'wire'>;

/** `diptych.cache.v1.get` */
export function subjectOf(port: PortIdentity, method: string): string {
  return port.wire?.subjectOf(method) ?? `diptych.${port.name}.v${port.version}.${method}`;
}

/** `diptych.cache.v1.get` too: what the token of an instance follows. */
export function addressOf(port: PortIdentity, method: string): string {
  return port.wire?.addressOf?.(method) ?? subjectOf(port, method);
}

/** Bounds that hold in every binding alike. They cannot be switched off. */
export interface Bounds {
  /**
   * Calls of one method in flight at one client, and at one server. One more is OVERLOADED at once. By method, so that one that is stuck
   * leaves the others alone. Default 4,096.
   */
  readonly inFlightMax: number;
  /** An encoded request, reply or event. Larger is TOO_LARGE. Default 1,048,000: below the broker's 1 MiB. */
  readonly messageBytesMax: number;
  /** Encoded requests of one method in flight at one client; only where there is a network. One more is OVERLOADED. Default 64 MiB. */
  readonly inFlightBytesMax: number;
}

export const DEFAULT_BOUNDS: Bounds = { inFlightMax: 4_096, messageBytesMax: 1_048_000, inFlightBytesMax: 64 * 1_048_576 };
