import { EventEmitter } from 'node:events';
import { DiptychError, StoppableContext, systemClock } from '@diptych/kernel';
import { Logger } from '@nestjs/common';
import type { MsPattern, ReadPacket, WritePacket } from '@nestjs/microservices';
import { ClientProxy } from '@nestjs/microservices';
import type { Subscriber } from 'rxjs';
import { Observable } from 'rxjs';
import type { LinkStatus } from '../nats/connection.js';
import type { LinkOutlet } from '../nats/link.js';
import { outletOf } from '../nats/link.js';
import type { NatsLink } from '../nats/nats-link.js';
import type { DiptychTransportEvents } from './diptych-server.js';
import { envelopeOf } from './envelope.js';
import { fromWireError } from './errors.js';
import { calledNestPort } from './nest-port.js';
import { assertRoute, subjectOfRoute } from './pattern.js';
import type { DiptychRecord, Headers } from './record.js';
import { recordOf } from './record.js';
import type { DiptychTransportOptions, LinkShare } from './process-link.js';
import { shareLink } from './process-link.js';

export interface DiptychClientOptions extends DiptychTransportOptions {
  /** How long the answer to a message is worth something, unless its record says so. For a stream: all of it. Default 30,000. */
  readonly timeoutMs?: number;
  /** Of every message, besides those of its record, which win. */
  readonly headers?: Headers;
  /**
   * Whether a message goes to a live server, the less loaded of two random ones, once those that handle its pattern are known. False: always to
   * whoever the broker picks, which others who listen to the subject then see too. Default true.
   */
  readonly liveRouting?: boolean;
}

type Call = (request: unknown, context: StoppableContext, onValue: (value: unknown) => void) => Promise<unknown>;

/**
 * Sends messages and events to whoever handles their pattern:
 *
 *     ClientsModule.register([{ name: 'ORDERS', customClass: DiptychClient, options: { servers: 'nats://127.0.0.1:4222' } }])
 *
 * `send` is cold: each subscription is a call of its own. Unsubscribing cancels it, also for the handler. Besides what the handler's
 * exception filter gives, a call ends with a `DiptychError`: UNAVAILABLE at once when nobody handles the pattern or NATS cannot be reached,
 * DEADLINE_EXCEEDED, OVERLOADED, TOO_LARGE, CONNECTION_LOST.
 */
export class DiptychClient extends ClientProxy<DiptychTransportEvents> {
  readonly #options: DiptychClientOptions;
  readonly #logger = new Logger(DiptychClient.name);
  readonly #events = new EventEmitter();
  /** By route; bounded, since patterns may be made up of data. */
  readonly #targets = new Map<string, Call>();
  readonly #calls = new Set<StoppableContext>();
  #connection: OpenConnection | undefined;
  #connecting: Promise<OpenConnection> | undefined;

  constructor(options: DiptychClientOptions = {}) {
    super();
    this.#options = options;
  }

  /** The state of the connection now, once there is one, and each change. */
  override get status(): Observable<LinkStatus> {
    // Nest declares it as text: a narrower declaration would not fit `customClass`.
    return super.status as Observable<LinkStatus>;
  }

  /** @throws UNAVAILABLE when there is no connection within `connectTimeoutMs`; the next call tries again */
  async connect(): Promise<NatsLink> {
    return (await this.#connected()).share.link;
  }

  /** Calls in flight end as CANCELLED. Never rejects. Safe to repeat, and to connect again afterwards. */
  async close(): Promise<void> {
    for (const call of this.#calls) call.stop(new DiptychError('CANCELLED', 'the client was closed'));
    const connecting = this.#connecting;
    this.#connection = undefined;
    this.#connecting = undefined;
    this.#targets.clear();
    const open = await connecting?.catch(() => undefined);
    open?.watch[Symbol.dispose]();
    // What was emitted just now shall not end in a buffer of this process.
    await open?.outlet.flush();
    await open?.share.release();
    this.#events.removeAllListeners();
  }

  override on<Event extends keyof DiptychTransportEvents>(event: Event, callback: DiptychTransportEvents[Event]): void {
    this.#events.on(event, callback);
  }

  /** The `NatsLink`. @throws Error before it is connected */
  unwrap<T = NatsLink>(): T {
    if (!this.#connection) throw new Error('the client is not connected: call connect() first');
    return this.#connection.share.link as T;
  }

  /** In place of Nest's, which makes a promise and four Observables a call. */
  override send<Result = unknown, Input = unknown>(pattern: MsPattern, data: Input): Observable<Result> {
    if (isNil(pattern) || isNil(data)) return super.send<Result, Input>(pattern, data);
    return new Observable<Result>((subscriber) => {
      const open = this.#connection;
      if (open) return this.#start(open, pattern, data, subscriber);
      this.#connected().then(
        (later) => {
          if (!subscriber.closed) subscriber.add(this.#start(later, pattern, data, subscriber));
        },
        (error: unknown) => subscriber.error(error),
      );
      return undefined;
    });
  }

  protected override publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const subscription = this.send(packet.pattern as MsPattern, packet.data as unknown).subscribe({
      next: (response) => callback({ response }),
      error: (err: unknown) => callback({ err }),
      complete: () => callback({ isDisposed: true }),
    });
    return () => subscription.unsubscribe();
  }

  /** @throws UNAVAILABLE, TOO_LARGE or INVALID_REQUEST: nothing was sent. Otherwise it was; whether it arrives nobody knows */
  protected override async dispatchEvent<T = unknown>({ pattern, data, metadata }: ReadPacket): Promise<T> {
    const { outlet } = await this.#connected();
    const route: unknown = this.normalizePattern(pattern as MsPattern);
    assertRoute(route, false);
    const record = recordOf(data);
    outlet.publishEvent(subjectOfRoute(route), route, envelopeOf(record.data, this.#headers(record), metadata));
    return undefined as T;
  }

  #start(open: OpenConnection, pattern: MsPattern, data: unknown, subscriber: Subscriber<unknown>): (() => void) | undefined {
    let call: StoppableContext;
    let reply: Promise<unknown>;
    try {
      const packet = this.createPacket(pattern, data);
      const record = recordOf(packet.data);
      const timeoutMs = record.timeoutMs ?? this.#options.timeoutMs ?? 30_000;
      const headers = this.#headers(record);
      call = new StoppableContext(systemClock.nowMs() + timeoutMs, record.traceparent ?? traceparentIn(headers, packet.metadata));
      const target = this.#target(open, pattern);
      reply = target(envelopeOf(record.data, headers, packet.metadata), call, (value) => subscriber.next(value));
    } catch (error) {
      subscriber.error(error);
      return undefined;
    }
    this.#calls.add(call);
    let settled = false;
    reply.then(
      (value) => {
        settled = true;
        this.#calls.delete(call);
        // As with Nest's own transports: a handler that returns nothing completes, and emits nothing.
        if (value !== undefined) subscriber.next(value);
        subscriber.complete();
      },
      (error: unknown) => {
        settled = true;
        this.#calls.delete(call);
        subscriber.error(fromWireError(error));
      },
    );
    return () => {
      if (!settled) call.stop(new DiptychError('CANCELLED', 'unsubscribed'));
    };
  }

  #headers(record: DiptychRecord): Headers | undefined {
    const { headers } = this.#options;
    return headers && record.headers ? { ...headers, ...record.headers } : (record.headers ?? headers);
  }

  #target(open: OpenConnection, pattern: MsPattern): Call {
    const key: unknown = typeof pattern === 'string' ? pattern : this.normalizePattern(pattern);
    const known = this.#targets.get(key as string);
    if (known) return known;
    assertRoute(key, false);
    const port = open.share.link.client(calledNestPort(key, this.#options.liveRouting ?? true));
    const call = port[key] as unknown as Call;
    if (this.#targets.size >= TARGETS_MAX) this.#targets.delete(this.#targets.keys().next().value!);
    this.#targets.set(key, call);
    return call;
  }

  #connected(): Promise<OpenConnection> {
    if (!this.#connecting) {
      const connecting = this.#open();
      this.#connecting = connecting;
      connecting.then(
        (open) => {
          if (this.#connecting === connecting) this.#connection = open;
        },
        () => {
          if (this.#connecting === connecting) this.#connecting = undefined;
        },
      );
    }
    return this.#connecting;
  }

  async #open(): Promise<OpenConnection> {
    const share = await shareLink(this.#options);
    try {
      const outlet = outletOf(share.link);
      const watch = share.link.onStatus((status) => this.#report(status));
      this._status$.next(share.link.status);
      return { share, outlet, watch };
    } catch (error) {
      await share.release();
      throw error;
    }
  }

  #report(status: LinkStatus): void {
    this._status$.next(status);
    if (status === 'connected') {
      this.#logger.log('connected to NATS again');
      this.#events.emit('reconnect');
    } else if (status === 'disconnected') {
      this.#logger.error('the connection to NATS is lost; it is being made again');
      this.#events.emit('disconnect');
    }
  }
}

interface OpenConnection {
  readonly share: LinkShare;
  readonly outlet: LinkOutlet;
  readonly watch: Disposable;
}

function isNil(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function traceparentIn(headers: Headers | undefined, metadata: Readonly<Record<string, string>> | undefined): string | undefined {
  const value = headers?.['traceparent'] ?? metadata?.['traceparent'];
  return typeof value === 'string' ? value : undefined;
}

const TARGETS_MAX = 10_000;
