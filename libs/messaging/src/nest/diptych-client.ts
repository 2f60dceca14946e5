import { EventEmitter } from 'node:events';
import { DiptychError, StoppableContext, systemClock } from '@diptych/kernel';
import { Logger } from '@nestjs/common';
import type { MsPattern, ReadPacket, WritePacket } from '@nestjs/microservices';
import { ClientProxy } from '@nestjs/microservices';
import type { Subscriber } from 'rxjs';
import { from, Observable } from 'rxjs';
import type { LinkStatus } from '../nats/connection.js';
import type { LinkOutlet } from '../nats/link.js';
import { outletOf } from '../nats/link.js';
import type { NatsLink } from '../nats/nats-link.js';
import { assertCallable } from '../call-watch.js';
import { DEFAULT_BOUNDS } from '../port.js';
import type { DiptychTransportEvents } from './diptych-server.js';
import type { Envelope } from './envelope.js';
import { envelopeOf } from './envelope.js';
import { fromWireError } from './errors.js';
import { calledNestPort } from './nest-port.js';
import { assertRoute, subjectOfRoute } from './pattern.js';
import type { DiptychRecord, Headers } from './record.js';
import { recordOf } from './record.js';
import type { DiptychTransportOptions, LinkShare } from './process-link.js';
import { shareLink } from './process-link.js';
import { WaitingLine } from './waiting-line.js';

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
 * DEADLINE_EXCEEDED, OVERLOADED, TOO_LARGE, CONNECTION_LOST. Until there is a first connection messages and events wait for it in their order, no
 * longer than their time, and no more than `bounds` let be in flight; what they hold must stay as it is until then.
 */
export class DiptychClient extends ClientProxy<DiptychTransportEvents> {
  readonly #options: DiptychClientOptions;
  readonly #logger = new Logger(DiptychClient.name);
  readonly #events = new EventEmitter();
  readonly #calls = new Set<StoppableContext>();
  #connection: OpenConnection | undefined;
  #connecting: Connecting | undefined;
  #closing: Promise<void> = Promise.resolve();

  constructor(options: DiptychClientOptions = {}) {
    super();
    this.#options = options;
  }

  /** The state of the connection now, once there is one, and each change. */
  override get status(): Observable<LinkStatus> {
    // Nest declares it as text: a narrower declaration would not fit `customClass`.
    return super.status as Observable<LinkStatus>;
  }

  /** @throws UNAVAILABLE when there is no connection within `connectTimeoutMs`, or the client is closed before; the next call tries again */
  async connect(): Promise<NatsLink> {
    return (await this.#connect().open).link;
  }

  /** What is in flight or waits for the connection ends as CANCELLED. Never rejects. Safe to repeat, and to connect again afterwards. */
  close(): Promise<void> {
    this.#closing = this.#close(this.#closing);
    return this.#closing;
  }

  async #close(before: Promise<void>): Promise<void> {
    for (const call of this.#calls) call.stop(new DiptychError('CANCELLED', 'the client was closed'));
    const open = this.#connection;
    const connecting = this.#connecting;
    this.#connection = undefined;
    this.#connecting = undefined;
    connecting?.line.fail(closedWhileConnecting('CANCELLED'));
    open?.watch[Symbol.dispose]();
    // Who listens from now on listens to the connection that comes.
    this.#events.removeAllListeners();
    // What was emitted just now shall not end in a buffer of this process.
    await open?.outlet.flush();
    await connecting?.share.release();
    await before;
  }

  override on<Event extends keyof DiptychTransportEvents>(event: Event, callback: DiptychTransportEvents[Event]): void {
    this.#events.on(event, callback);
  }

  /** The `NatsLink`. @throws Error before it is connected */
  unwrap<T = NatsLink>(): T {
    if (!this.#connection) throw new Error('the client is not connected: call connect() first');
    return this.#connection.link as T;
  }

  /** In place of Nest's, which makes a promise and four Observables a call. */
  override send<Result = unknown, Input = unknown>(pattern: MsPattern, data: Input): Observable<Result> {
    if (isNil(pattern) || isNil(data)) return super.send<Result, Input>(pattern, data);
    return new Observable<Result>((subscriber) => this.#start(pattern, data, subscriber));
  }

  /** In place of Nest's, which waits for a connection however long it takes. As there, it is sent whether or not somebody subscribes. */
  override emit<Result = unknown, Input = unknown>(pattern: MsPattern, data: Input): Observable<Result> {
    if (isNil(pattern) || isNil(data)) return super.emit<Result, Input>(pattern, data);
    const sent = (async () => this.dispatchEvent<Result>(this.createPacket(pattern, data)))();
    // Who does not look need not hear of it.
    sent.catch(() => undefined);
    return from(sent);
  }

  protected override publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const subscription = this.send(packet.pattern as MsPattern, packet.data as unknown).subscribe({
      next: (response) => callback({ response }),
      error: (err: unknown) => callback({ err }),
      complete: () => callback({ isDisposed: true }),
    });
    return () => subscription.unsubscribe();
  }

  /**
   * @throws UNAVAILABLE, OVERLOADED, TOO_LARGE, INVALID_REQUEST, DEADLINE_EXCEEDED or CANCELLED: nothing was sent. Otherwise it was; whether it arrives nobody
   * knows
   */
  protected override async dispatchEvent<T = unknown>({ pattern, data, metadata }: ReadPacket): Promise<T> {
    const route = this.#routeOf(pattern as MsPattern);
    assertRoute(route, false);
    const record = recordOf(data);
    const envelope = envelopeOf(record.data, this.#headers(record), metadata);
    const publish = ({ outlet }: OpenConnection) => outlet.publishEvent(subjectOfRoute(route), route, envelope);
    const call = this.#contextOf(record, undefined);
    // The same whether or not there is a connection.
    assertCallable(route, call);
    if (this.#connection) publish(this.#connection);
    else await this.#waitFor(route, call, envelope, publish);
    return undefined as T;
  }

  #start(pattern: MsPattern, data: unknown, subscriber: Subscriber<unknown>): (() => void) | undefined {
    let call: StoppableContext;
    let reply: Promise<unknown>;
    try {
      const packet = this.createPacket(pattern, data);
      const record = recordOf(packet.data);
      const headers = this.#headers(record);
      call = this.#contextOf(record, traceparentIn(headers, packet.metadata));
      const route = this.#routeOf(pattern);
      const envelope = envelopeOf(record.data, headers, packet.metadata);
      const ask = (open: OpenConnection) => this.#target(open, route)(envelope, call, (value) => subscriber.next(value));
      reply = this.#connection ? ask(this.#connection) : this.#waitFor(route, call, envelope, ask);
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

  #contextOf(record: DiptychRecord, traceparent: string | undefined): StoppableContext {
    const timeoutMs = record.timeoutMs ?? this.#options.timeoutMs ?? 30_000;
    return new StoppableContext(systemClock.nowMs() + timeoutMs, record.traceparent ?? traceparent);
  }

  /** Not looked at yet: whatever the pattern is. */
  #routeOf(pattern: MsPattern): unknown {
    return typeof pattern === 'string' ? pattern : this.normalizePattern(pattern);
  }

  #target({ link, targets }: OpenConnection, route: unknown): Call {
    const known = targets.get(route as string);
    if (known) return known;
    assertRoute(route, false);
    const port = link.client(calledNestPort(route, this.#options.liveRouting ?? true));
    const call = port[route] as unknown as Call;
    if (targets.size >= TARGETS_MAX) targets.delete(targets.keys().next().value!);
    targets.set(route, call);
    return call;
  }

  /** @throws what `WaitingLine.wait` throws, and UNAVAILABLE when there will be no connection */
  #waitFor<T>(route: unknown, call: StoppableContext, envelope: Envelope, send: (open: OpenConnection) => T | Promise<T>): Promise<T> {
    assertRoute(route, false);
    return this.#connect().line.wait(route, call, envelope, send);
  }

  #connect(): Connecting {
    if (!this.#connecting) {
      const { link, bounds } = this.#options;
      const line = new WaitingLine<OpenConnection>(link ? outletOf(link).bounds : { ...DEFAULT_BOUNDS, ...bounds });
      const share = shareLink(this.#options);
      const open = this.#open(share, line);
      this.#connecting = { share, line, open };
      // Who waits in line is told there.
      open.catch(() => undefined);
    }
    return this.#connecting;
  }

  async #open(share: LinkShare, line: WaitingLine<OpenConnection>): Promise<OpenConnection> {
    const isWanted = () => this.#connecting?.share === share;
    try {
      const link = await share.link;
      if (!isWanted()) throw closedWhileConnecting('UNAVAILABLE');
      const open = {
        link,
        outlet: outletOf(link),
        targets: new Map<string, Call>(),
        watch: link.onStatus((status) => this.#report(status)),
      };
      // In one step: what waits goes before anything that is sent because there is a connection.
      this.#connection = open;
      line.open(open);
      this._status$.next(link.status);
      // Whoever hears of it may have closed it.
      if (!isWanted()) throw closedWhileConnecting('UNAVAILABLE');
      return open;
    } catch (error) {
      if (isWanted()) this.#connecting = undefined;
      line.fail(error);
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
  readonly link: NatsLink;
  readonly outlet: LinkOutlet;
  /** By route; bounded, since patterns may be made up of data. */
  readonly targets: Map<string, Call>;
  readonly watch: Disposable;
}

interface Connecting {
  readonly share: LinkShare;
  readonly line: WaitingLine<OpenConnection>;
  readonly open: Promise<OpenConnection>;
}

function closedWhileConnecting(code: 'CANCELLED' | 'UNAVAILABLE'): DiptychError {
  return new DiptychError(code, 'the client was closed while it was connecting', { definite: true });
}

function isNil(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function traceparentIn(headers: Headers | undefined, metadata: Readonly<Record<string, string>> | undefined): string | undefined {
  const value = headers?.['traceparent'] ?? metadata?.['traceparent'];
  return typeof value === 'string' ? value : undefined;
}

const TARGETS_MAX = 10_000;
