import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CachePort } from '@diptych/cache';
import { DiptychError } from '@diptych/kernel';
import type { LogPort } from '@diptych/log';
import type { ApiKeys } from './api-key.js';
import { BodyBudget } from './body.js';
import { EdgeMeter } from './edge-meter.js';
import { Exchange } from './exchange.js';
import { noSuchRoute } from './problem.js';
import { operationOf, type Operation } from './dispatch.js';
import type { OperationId } from './operations.js';
import { originForm, resourceOf, type Resource } from './target.js';

export interface GatewayOptions {
  /** The longest a request may take; a client can shorten it with `Diptych-Timeout-Ms`. */
  readonly requestTimeoutMs: number;
  /** Requests being answered at once. One more is OVERLOADED at once. */
  readonly inFlightMax: number;
  /** Bytes of request bodies held at once. More is OVERLOADED. */
  readonly bodyBytesMax: number;
  /** Undefined: everybody may do everything. */
  readonly apiKeys?: ApiKeys | undefined;
  /** Told of every INTERNAL error that is answered, with its cause. */
  readonly onDefect?: (error: DiptychError, operation: OperationId) => void;
}

export const GATEWAY_DEFAULTS = {
  requestTimeoutMs: 5_000,
  inFlightMax: 4_096,
  bodyBytesMax: 128_000_000,
} as const satisfies GatewayOptions;

/**
 * The stateless HTTP edge over the two ports. It speaks to Node's own request and response, so that nothing in between
 * reads the path, the body or the content type its own way; a framework has only to find the route.
 */
export class Gateway {
  readonly log: LogPort;
  readonly cache: CachePort;
  readonly options: GatewayOptions;
  readonly meter = new EdgeMeter();
  readonly bodyBudget: BodyBudget;
  #inFlight = 0;
  readonly #expectingContinue = new WeakSet<IncomingMessage>();

  constructor(ports: { log: LogPort; cache: CachePort }, options: Partial<GatewayOptions> = {}) {
    this.log = ports.log;
    this.cache = ports.cache;
    this.options = { ...GATEWAY_DEFAULTS, ...options };
    this.bodyBudget = new BodyBudget(this.options.bodyBytesMax);
  }

  /** Requests begun and not yet answered. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Answers a request whose route has been found. Never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const path = originForm(request.url ?? '/');
    const resource = resourceOf(path);
    const operation = resource && operationOf(resource, request.method ?? '');
    const exchange = this.begin(request, response, operation?.id ?? 'none', path);
    // The router decodes what it compares; a path that is ours only after that is not spelled as one.
    if (!operation) return exchange.fail(noSuchRoute(path));
    try {
      this.#admit(request, resource);
    } catch (error) {
      return exchange.fail(error);
    }
    if (exchange.connection.tryEnter(operation.writes)) this.#run(exchange, operation);
    else exchange.connection.whenFree(operation.writes, () => this.#run(exchange, operation));
  }

  /** Counts a request in; its exchange counts it out when it is answered. */
  begin(request: IncomingMessage, response: ServerResponse, operation: OperationId, path = originForm(request.url ?? '/')): Exchange {
    this.#inFlight++;
    return new Exchange(this, request, response, operation, path);
  }

  ended(operation: OperationId, status: number, durationMs: number, bodyBytes: number): void {
    this.#inFlight--;
    if (bodyBytes > 0) this.bodyBudget.give(bodyBytes);
    this.meter.add(operation, status, durationMs);
  }

  /** The client waits for a `100 Continue` before it sends the body. */
  expectContinue(request: IncomingMessage): void {
    this.#expectingContinue.add(request);
  }

  takeContinueExpected(request: IncomingMessage): boolean {
    return request.headers.expect !== undefined && this.#expectingContinue.delete(request);
  }

  #admit(request: IncomingMessage, resource: Resource): void {
    if (this.#inFlight > this.options.inFlightMax)
      throw new DiptychError('OVERLOADED', `this gateway is answering ${this.options.inFlightMax} requests already, the most it takes`);
    // What the interface looks like is no secret, and says how to authenticate.
    if (this.options.apiKeys && resource !== 'openapi') this.options.apiKeys.assertKnown(request);
  }

  #run(exchange: Exchange, operation: Operation): void {
    exchange.entered = true;
    operation.run(exchange).catch((error: unknown) => exchange.fail(error));
  }
}
