import { DiptychError, systemClock } from '@diptych/kernel';
import type { MsgHdrs } from '@nats-io/transport-node';
import type { FaultListener } from '../faults.js';
import { Part } from '../part.js';
import { before, pause } from './before.js';
import { backoffMs, Brokers, Flaps } from './brokers.js';
import type { Message } from './client/message.js';
import type { BrokerAddress, TlsOptions } from './client/broker.js';
import { SUBJECTS_BYTES_MAX, type NatsClient } from './client/nats-client.js';
import { brokerTooSlow, cannotReach, isRefusal } from './connection-errors.js';
import { KeptSubscription, type SubscribeOptions } from './kept-subscription.js';
import { messageOf } from './message-of.js';
import { Session, type Forbidden, type SessionOptions } from './session.js';
import { ECHO_MS_MAX, settle, type Mover } from './settle.js';

export type LinkStatus = 'connected' | 'disconnected' | 'closed';

export interface ConnectionOptions extends SessionOptions {
  readonly servers: readonly BrokerAddress[];
  readonly name: string;
  readonly tls?: TlsOptions | undefined;
  readonly connectTimeoutMs: number;
  /** What may wait in the socket of a broker that takes it too slowly. */
  readonly backlogBytesMax: number;
  /** Aborted: it is closed, made or not. */
  readonly signal?: AbortSignal | undefined;
  readonly onFault: FaultListener;
}

export interface PublishOptions {
  /** Where an answer is wanted. */
  readonly reply?: string | undefined;
  readonly headers?: MsgHdrs | undefined;
}

/**
 * The one connection of a link to its brokers, kept up for ever.
 *
 *   connected ──(broken, or silent for pingsOutMax pings)──▶ disconnected ──(dialled anew)──▶ connected
 *       └───────────────────────── close ─────────────────────▶ closed ◀───────┘
 *
 * When its broker says that it will end (lame duck mode), it moves as soon as another takes it, be that one at the same address: see `#move`.
 *
 * Each time it is made anew it subscribes again to all that is subscribed. While it is not `connected` nothing is published: not
 * then, and not later either. What was published just before it broke may or may not have arrived.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #brokers: Brokers;
  readonly #subscriptions = new Set<KeptSubscription>();
  readonly #listeners = new Set<(status: LinkStatus) => void>();
  readonly #forbiddenListeners = new Set<(what: Forbidden) => void>();
  readonly #closing = new AbortController();
  readonly #onAbort = () => void this.close();
  #status: LinkStatus = 'disconnected';
  #session: Session | undefined;
  #redialling: Promise<void> = Promise.resolve();
  #moving: Promise<void> = Promise.resolve();
  readonly #movers = new Set<Mover>();
  #isLeaving = false;
  readonly #flaps = new Flaps();

  private constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#brokers = new Brokers(options.servers, { name: options.name, tls: options.tls });
  }

  /**
   * Connects, trying again until `connectTimeoutMs` have passed, so that broker and process may start together.
   *
   * @throws UNAVAILABLE with one sentence that says where and why
   */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(options);
    options.signal?.addEventListener('abort', connection.#onAbort, { once: true });
    if (options.signal?.aborted) await connection.close();
    const endMs = systemClock.nowMs() + options.connectTimeoutMs;
    for (let attempt = 0, failure: unknown; ; attempt++) {
      try {
        await connection.#connect(endMs);
        return connection;
      } catch (error) {
        // That attempt was cut short: what is worth knowing is why there was need for it.
        if (connection.status === 'closed') throw connection.downError(failure);
        failure = error;
        const waitMs = backoffMs(attempt);
        const isOver = isRefusal(error) || systemClock.nowMs() + waitMs >= endMs;
        await (isOver ? connection.close() : pause(waitMs, connection.#closing.signal));
        if (isOver) throw cannotReach(options, error);
      }
    }
  }

  get status(): LinkStatus {
    return this.#status;
  }

  /** What the broker allows a message to have, in bytes. */
  get payloadBytesMax(): number {
    return this.#session?.payloadBytesMax ?? Number.MAX_SAFE_INTEGER;
  }

  /** Hears of every change, in the order of subscribing, before anybody can act on the new state. */
  onStatus(listener: (status: LinkStatus) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Hears of each message and each subscription that the broker says it has refused, some time after it was sent. Must not throw. */
  onForbidden(listener: (what: Forbidden) => void): Disposable {
    this.#forbiddenListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#forbiddenListeners.delete(listener) };
  }

  /** A move to another broker regards it. */
  regard(mover: Mover): Disposable {
    this.#movers.add(mover);
    return { [Symbol.dispose]: () => void this.#movers.delete(mover) };
  }

  /**
   * Whether a call can be sent now.
   *
   * @throws UNAVAILABLE when not connected, or about to move to another broker; OVERLOADED when more than `backlogBytesMax` wait for a broker that takes too little
   */
  assertWritable(): void {
    if (this.#status !== 'connected' || !this.#session || this.#isLeaving) throw this.downError();
    if (this.#session.backlogBytes > this.#options.backlogBytesMax) throw brokerTooSlow(this.#session.backlogBytes);
  }

  /** @throws UNAVAILABLE when not connected, OVERLOADED when too much waits already, TOO_LARGE: nothing was sent, nor will be */
  publish(subject: string, data: Uint8Array, { reply, headers }: PublishOptions = {}): void {
    this.publishParts(subject, reply, [Part.of(data)], 0, headers);
  }

  /**
   * One message of all parts behind one another, each but the first without its first `skipBytes`.
   *
   * @returns whether the memory of the parts may be used for something else now
   * @throws as `publish` does
   */
  publishParts(subject: string, reply: string | undefined, parts: readonly Part[], skipBytes: number, headers?: MsgHdrs): boolean {
    if (!this.#session) throw this.downError();
    if (this.#session.backlogBytes > this.#options.backlogBytesMax) throw brokerTooSlow(this.#session.backlogBytes);
    try {
      return this.#session.nats.publish(subject, reply, parts, skipBytes, headers);
    } catch (error) {
      if (error instanceof RangeError) throw new DiptychError('TOO_LARGE', `nothing was sent: ${error.message}`, { cause: error });
      throw new DiptychError('UNAVAILABLE', `nothing could be sent to ${subject}`, { cause: error });
    }
  }

  downError(cause?: unknown): DiptychError {
    const why = this.#status === 'closed' ? 'the link to NATS is closed' : 'the connection to NATS is down';
    return new DiptychError('UNAVAILABLE', `${why}; nothing was sent`, { cause });
  }

  /**
   * Subscribes now and whenever the connection is made anew. `onMessage` runs once a message, in their order.
   *
   * @throws INVALID_REQUEST for a subject or queue that NATS cannot have
   */
  subscribe(subject: string, onMessage: (message: Message) => void, options: SubscribeOptions = {}): KeptSubscription {
    // Here, and not when it is done again: what can never be subscribed to would keep the connection from ever being made anew.
    const names = options.queue ? [subject, options.queue] : [subject];
    if (!names.every((name) => /^\S+$/.test(name)) || Buffer.byteLength(names.join(' ')) > SUBJECTS_BYTES_MAX)
      throw new DiptychError('INVALID_REQUEST', `NATS cannot have the subject '${names.join(' ').slice(0, 128)}'`);
    const onEnd = (ended: KeptSubscription) => this.#subscriptions.delete(ended);
    const kept = new KeptSubscription({ subject, onMessage, onEnd, onFault: this.#options.onFault, ...options });
    this.#subscriptions.add(kept);
    if (this.#session) kept.attach(this.#session.nats);
    return kept;
  }

  /** Resolves when the broker has seen all that was sent until now, or when the connection is lost. Never rejects. */
  async flush(): Promise<void> {
    await this.#session?.nats.flush();
  }

  /** Ends it for good: sockets, timers, attempts. Safe to repeat. */
  async close(): Promise<void> {
    if (this.#status === 'closed') return;
    const session = this.#session;
    this.#session = undefined;
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#closing.abort();
    this.#become('closed');
    for (const kept of this.#subscriptions) kept[Symbol.dispose]();
    await session?.end();
    await this.#moving;
    await this.#redialling;
    this.#listeners.clear();
    this.#forbiddenListeners.clear();
  }

  /** One attempt. @throws Error when it fails, also because what it made was lost at once; nothing is left of it then */
  async #connect(endMs: number): Promise<void> {
    const nats = await this.#brokers.dialAny(endMs, this.#closing.signal);
    if (!this.#closing.signal.aborted) return this.#adopt(nats);
    await nats.close();
    throw this.downError();
  }

  /**
   * Becomes connected once the broker knows all subscriptions, so that whoever sees two links connected can rely on both, and the connection before is `left`.
   */
  async #adopt(nats: NatsClient, left?: Promise<void>): Promise<void> {
    const session = new Session(nats, this.#options, {
      onLost: (why) => this.#lose(session, why),
      onForbidden: (what) => this.#forbiddenListeners.forEach((listener) => listener(what)),
      onLameDuck: () => void (this.#moving = this.#move(session)),
      onFault: this.#options.onFault,
    });
    this.#session = session;
    // It may have said so while the session before this one was ended.
    if (nats.info.ldm) nats.onLameDuck();
    for (const kept of this.#subscriptions) kept.attach(nats);
    // Ends also when the session is lost meanwhile, or the link is closed.
    if (this.#subscriptions.size > 0) await nats.flush();
    await left;
    if (this.#session === session) return this.#become('connected');
    await session.end();
    throw new Error('it was lost as soon as it was made');
  }

  /** Of a session that never became connected whoever is making it hears, and goes on trying: there is one who dials, and no second. */
  #lose(session: Session, why: unknown): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#brokers.learn(session.announced);
    this.#brokers.failed(session.nats.address);
    const wasConnected = this.#status === 'connected';
    this.#become('disconnected');
    if (why) this.#options.onFault(new DiptychError('UNAVAILABLE', `the connection to NATS was lost: ${messageOf(why)}`, { cause: why }));
    const ended = session.end();
    if (wasConnected) this.#redialling = ended.then(() => this.#redial());
  }

  async #redial(): Promise<void> {
    let isToldOfRefusal = false;
    for (let attempt = this.#flaps.lost(); !this.#closing.signal.aborted; attempt++) {
      await pause(backoffMs(attempt), this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      try {
        return await this.#connect(Number.POSITIVE_INFINITY);
      } catch (error) {
        // The next attempt may succeed, and there is always a next one.
        if (!isRefusal(error) || isToldOfRefusal) continue;
        isToldOfRefusal = true;
        this.#options.onFault(cannotReach(this.#options, error));
      }
    }
  }

  /**
   * Goes to another broker before this one ends. Once that one has taken us, nobody calls any more from here; calls and events come by the one or the other, and
   * none is lost on the way; the calls of this process have a moment to be answered, so that mostly none is lost, and what is called meanwhile has definitely not
   * happened.
   */
  async #move(session: Session): Promise<void> {
    const isOver = () => this.#session !== session || this.#closing.signal.aborted;
    this.#options.onFault(
      new DiptychError('UNAVAILABLE', 'the NATS server says that it will end; this process goes to another as soon as one takes it'),
    );
    this.#brokers.learn(session.announced);
    let next: NatsClient | undefined;
    for (let attempt = this.#flaps.lost(); !next && !isOver(); attempt++) {
      if (attempt > 0) await pause(backoffMs(attempt), this.#closing.signal);
      next = await this.#brokers.dialAny(Number.POSITIVE_INFINITY, this.#closing.signal).catch(() => undefined);
    }
    if (next && !isOver()) {
      this.#isLeaving = true;
      await settle(session, next, this.#subscriptions, this.#movers, isOver);
      this.#isLeaving = false;
    }
    if (isOver()) return next?.close();
    this.#session = undefined;
    this.#become('disconnected');
    // What is answered from now on goes by the next one. What went by this one has arrived when it says so.
    const left = before(systemClock.nowMs() + ECHO_MS_MAX, session.nats.flush()).then(() => session.end());
    if (!this.#closing.signal.aborted) return this.#adopt(next!, left).catch(() => (this.#redialling = this.#redial()));
    await left;
    await next!.close();
  }

  #become(status: LinkStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    if (status === 'connected') this.#flaps.made();
    for (const listener of [...this.#listeners]) {
      try {
        listener(status);
      } catch (error) {
        this.#options.onFault(new DiptychError('INTERNAL', 'a listener of the status of the NATS link failed', { cause: error }));
      }
    }
  }
}
