import { EventEmitter } from 'node:events';
import { DiptychError } from '@diptych/kernel';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import { Server, Transport } from '@nestjs/microservices';
import { isObservable } from 'rxjs';
import type { LinkStatus } from '../nats/connection.js';
import type { LinkOutlet } from '../nats/link.js';
import { outletOf } from '../nats/link.js';
import type { NatsLink } from '../nats/nats-link.js';
import type { Responder } from '../nats/responder.js';
import type { ServedCall } from '../nats/served-call.js';
import { DiptychContext } from './context.js';
import { asEnvelope } from './envelope.js';
import { toWireError } from './errors.js';
import { servedNestPort } from './nest-port.js';
import { assertRoute } from './pattern.js';
import { nestPlainCall } from './plain-call.js';
import { replyWith } from './reply-stream.js';
import type { DiptychTransportOptions, LinkShare } from './process-link.js';
import { shareLink } from './process-link.js';

export interface DiptychServerOptions extends DiptychTransportOptions {
  /**
   * Who shares the messages of a pattern. Default: all servers of the broker that handle it share its messages, and each gets each of its events. With
   * a queue its members share the events too. `@MessagePattern('a', { queue })` and `@EventPattern` may each say otherwise.
   */
  readonly queue?: string;
  /** How long closing waits for what was accepted. What is not finished then is told to stop, and its caller that. Default 10,000. */
  readonly drainMs?: number;
  /** How long the work on an event, or on a message that says nothing about it, may take. Default 30,000. */
  readonly timeoutMs?: number;
}

export type DiptychTransportEvents = {
  disconnect: () => void;
  reconnect: () => void;
};

/**
 * Serves the handlers of a Nest application over NATS, in frames, with deadlines, bounds, and a drain:
 *
 *     NestFactory.createMicroservice(AppModule, { strategy: new DiptychServer({ servers: 'nats://127.0.0.1:4222' }) })
 *
 * It also answers Nest's own NATS clients and plain ones, on the same subjects.
 */
export class DiptychServer extends Server<DiptychTransportEvents, LinkStatus> implements CustomTransportStrategy {
  // What is declared for Nest's NATS transport alone is meant for this one too.
  override transportId: Transport | symbol = Transport.NATS;
  readonly #options: DiptychServerOptions;
  readonly #events = new EventEmitter();
  /** Of the last `listen`, until it was closed. */
  #serving: Serving | undefined;
  #hooked = false;
  #closing: Promise<void> = Promise.resolve();

  constructor(options: DiptychServerOptions = {}) {
    super();
    this.#options = options;
  }

  /**
   * Connects, trying for `connectTimeoutMs`, and calls back once the broker knows all patterns; with the error when that cannot be. Once it was closed it may
   * listen again, also while it is still closing.
   *
   * @throws INVALID_REQUEST when it listens already
   */
  async listen(callback: (error?: unknown) => void): Promise<void> {
    try {
      for (const route of this.messageHandlers.keys()) assertRoute(route, true);
      if (this.#serving) throw new DiptychError('INVALID_REQUEST', 'the server listens already: close it first');
    } catch (error) {
      return callback(error);
    }
    const serving: Serving = { share: shareLink(this.#options), begun: Promise.resolve() };
    this.#serving = serving;
    const begun = this.#begin(serving);
    serving.begun = begun.catch(() => undefined);
    try {
      await begun;
    } catch (error) {
      if (this.#serving === serving) await this.close();
      else await this.#closing;
      return callback(error);
    }
    callback();
  }

  async #begin(serving: Serving): Promise<void> {
    const assertWanted = () => {
      if (this.#serving !== serving)
        throw new DiptychError('CANCELLED', 'the server was closed while it began to listen', { definite: true });
    };
    const link = await serving.share.link;
    assertWanted();
    serving.link = link;
    serving.watch = link.onStatus((status) => this.#report(status));
    serving.responder = await link.serve(this.#port(), this.#handlers(outletOf(link)));
    assertWanted();
    this._status$.next(link.status);
  }

  /** Takes nothing new, answers what was accepted, and gives up its share of the connection, made or not. Never rejects. Safe to repeat. */
  close(): Promise<void> {
    const serving = this.#serving;
    this.#serving = undefined;
    if (serving) this.#closing = this.#close(serving, this.#closing);
    return this.#closing;
  }

  override on<Event extends keyof DiptychTransportEvents>(event: Event, callback: DiptychTransportEvents[Event]): void {
    this.#events.on(event, callback);
  }

  /** The `NatsLink`. @throws Error before `listen` */
  override unwrap<T = NatsLink>(): T {
    if (!this.#serving?.link) throw new Error('the server is not connected: call listen() or startAllMicroservices() first');
    return this.#serving.link as T;
  }

  override setOnProcessingStartHook(hook: Parameters<Server['setOnProcessingStartHook']>[0]): void {
    this.#hooked = true;
    super.setOnProcessingStartHook(hook);
  }

  override setOnProcessingEndHook(hook: Parameters<Server['setOnProcessingEndHook']>[0]): void {
    this.#hooked = true;
    super.setOnProcessingEndHook(hook);
  }

  async #close(serving: Serving, before: Promise<void>): Promise<void> {
    // What is being connected is given up; what is being served by is served by, and then drained.
    if (!serving.link) await serving.share.release();
    await serving.begun;
    await serving.responder?.drain(this.#options.drainMs ?? 10_000);
    serving.watch?.[Symbol.dispose]();
    await serving.share.release();
    await before;
    if (!this.#serving) this.#events.removeAllListeners();
  }

  #report(status: LinkStatus): void {
    this._status$.next(status);
    if (status === 'connected') {
      this.logger.log('connected to NATS again');
      this.#events.emit('reconnect');
    } else if (status === 'disconnected') {
      this.logger.error('the connection to NATS is lost; it is being made again');
      this.#events.emit('disconnect');
    }
  }

  #port() {
    const { queue, timeoutMs = 30_000 } = this.#options;
    return servedNestPort(this.messageHandlers.keys(), {
      queueOf: (route) => {
        const handler = this.messageHandlers.get(route);
        const own = handler?.extras?.['queue'] as string | undefined;
        return own ?? queue ?? (handler?.isEventHandler ? undefined : DEFAULT_QUEUE);
      },
      eventTimeoutMs: timeoutMs,
      plainCall: (message, connection, what, bytesMax) => nestPlainCall(message, connection, what, bytesMax, timeoutMs),
    });
  }

  #handlers(outlet: LinkOutlet): Record<string, (request: unknown, context: unknown, call?: ServedCall) => Promise<unknown>> {
    return Object.fromEntries(
      Array.from(this.messageHandlers, ([route, handler]) => [
        route,
        (request: unknown, _: unknown, call?: ServedCall) => this.#handle(handler, request, call!, outlet),
      ]),
    );
  }

  /** Not `async`, nor by way of an Observable: of a handler's promise only the outcome is looked at. */
  #handle(handler: MessageHandler, request: unknown, call: ServedCall, outlet: LinkOutlet): Promise<unknown> {
    const envelope = asEnvelope(request);
    const context = new DiptychContext(call, envelope);
    const work = this.#hooked ? this.#handleHooked(handler, envelope[0], context) : handler(envelope[0], context);
    return (work as Promise<unknown>).then(
      (result) => {
        if (!isObservable(result)) {
          context.end();
          return result;
        }
        return replyWith(result, call, { flush: () => outlet.flush(), bytesMax: outlet.bounds.inFlightBytesMax }).finally(() =>
          context.end(),
        );
      },
      (error: unknown) => {
        context.end();
        throw toWireError(error);
      },
    );
  }

  /** The same between the hooks that instrumentation has set. The end hook runs when the work has ended, as with Nest's own servers. */
  #handleHooked(handler: MessageHandler, data: unknown, context: DiptychContext): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const begun: unknown = this.runWithProcessingHooks(context, async (runEndHook) => {
        context.onEnd = runEndHook;
        resolve(handler(data, context));
      });
      // A hook may be asynchronous, and fail before it lets the work begin.
      Promise.resolve(begun).catch(reject);
    });
  }
}

/** What one `listen` has made so far. */
interface Serving {
  readonly share: LinkShare;
  /** Settles when it is served, or will not be. */
  begun: Promise<void>;
  link?: NatsLink;
  watch?: Disposable;
  responder?: Responder;
}

/** Of messages, without one two servers that handle a pattern would both do the work of each. */
const DEFAULT_QUEUE = 'nest';
