import { DiptychError, timeLeftMs } from '@diptych/kernel';
import { NatsRecord } from '@nestjs/microservices';
import type { DiptychContext } from './context.js';

/** The values of one header field, or several. */
export type Headers = Readonly<Record<string, string | readonly string[]>>;

/** What `client.send()` and `client.emit()` take in place of bare data, to say more about one message. Made by `DiptychRecordBuilder`. */
export class DiptychRecord<T = unknown> {
  constructor(
    readonly data: T,
    readonly headers: Headers | undefined,
    /** How long the answer is worth something. Default: the client's. */
    readonly timeoutMs: number | undefined,
    /** W3C `traceparent`. */
    readonly traceparent: string | undefined,
  ) {}
}

/** `new DiptychRecordBuilder(order).setHeaders({ tenant: 'a' }).setTimeoutMs(200).build()` */
export class DiptychRecordBuilder<T> {
  #data: T;
  #headers: Headers | undefined;
  #timeoutMs: number | undefined;
  #traceparent: string | undefined;

  constructor(data: T) {
    this.#data = data;
  }

  setData(data: T): this {
    this.#data = data;
    return this;
  }

  setHeaders(headers: Headers): this {
    this.#headers = headers;
    return this;
  }

  setTimeoutMs(timeoutMs: number): this {
    this.#timeoutMs = timeoutMs;
    return this;
  }

  setTraceparent(traceparent: string | undefined): this {
    this.#traceparent = traceparent;
    return this;
  }

  /** For a call made on behalf of one that is being served: it ends no later, and belongs to the same trace. */
  within(context: DiptychContext): this {
    this.#timeoutMs = Math.min(this.#timeoutMs ?? Number.POSITIVE_INFINITY, timeLeftMs(context));
    this.#traceparent ??= context.traceparent;
    return this;
  }

  build(): DiptychRecord<T> {
    return new DiptychRecord(this.#data, this.#headers, this.#timeoutMs, this.#traceparent);
  }
}

/** What is asked for by the data given to `send` or `emit`: a record of ours, one of Nest's NATS transport, or bare data. */
export function recordOf(data: unknown): DiptychRecord {
  if (data instanceof DiptychRecord) return data as DiptychRecord;
  if (data instanceof NatsRecord) return new DiptychRecord<unknown>(data.data, headersOf(data.headers), undefined, undefined);
  return new DiptychRecord(data, undefined, undefined, undefined);
}

/** @throws INVALID_REQUEST when they are neither the header object of a NATS library nor a plain one */
function headersOf(headers: unknown): Headers | undefined {
  if (headers === undefined || headers === null) return undefined;
  if (typeof headers !== 'object') throw new DiptychError('INVALID_REQUEST', 'headers must be an object');
  if (!isHeaderObject(headers)) return headers as Headers;
  return Object.fromEntries(headers.keys().map((key) => [key, headers.values(key)]));
}

interface HeaderObject {
  keys(): string[];
  values(key: string): string[];
}

function isHeaderObject(headers: object): headers is HeaderObject {
  return typeof (headers as HeaderObject).keys === 'function' && typeof (headers as HeaderObject).values === 'function';
}
