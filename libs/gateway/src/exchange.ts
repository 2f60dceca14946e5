import type { IncomingMessage, ServerResponse } from 'node:http';
import { deadlines, systemClock, toDiptychError, type CallContext } from '@diptych/kernel';
import { VALUE_BYTES_MAX } from '@diptych/log';
import { parseTraceparent } from '@diptych/telemetry';
import { announcedBytes, readBody } from './body.js';
import { Connection } from './connection.js';
import type { OperationId } from './operations.js';
import { KEEP_ALIVE_MS, PROBLEM_CONTENT_TYPE } from '@diptych/host';
import { problemHeaders, problemOf, statusOf } from './problem.js';
import { timeoutMsOf } from './request-headers.js';
import type { Gateway } from './gateway.js';

/**
 * One request and its answer. It is answered exactly once, by `answer` or `fail`; that is also where it is counted and where
 * what it held is given back.
 */
export class Exchange {
  readonly gateway: Gateway;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly operation: OperationId;
  /** In origin form. */
  readonly path: string;
  readonly connection: Connection;
  /** Whether it has its turn on the connection, which its answer ends. */
  entered = false;
  readonly #startedMs = systemClock.nowMs();
  #bodyBytes = 0;
  #continueExpected: boolean;
  #answered = false;

  constructor(gateway: Gateway, request: IncomingMessage, response: ServerResponse, operation: OperationId, path: string) {
    this.gateway = gateway;
    this.request = request;
    this.response = response;
    this.operation = operation;
    this.path = path;
    this.connection = Connection.of(request.socket);
    this.#continueExpected = gateway.takeContinueExpected(request);
  }

  /** What every port call of this request carries. @throws INVALID_REQUEST */
  context(): CallContext {
    const { headers } = this.request;
    const { traceparent } = headers;
    return {
      deadlineMs: this.#startedMs + timeoutMsOf(headers['diptych-timeout-ms'], this.gateway.options.requestTimeoutMs),
      signal: this.connection.signal,
      traceparent: typeof traceparent === 'string' && parseTraceparent(traceparent) ? traceparent : undefined,
    };
  }

  async body(context: CallContext): Promise<Buffer> {
    const continueExpected = this.#continueExpected;
    this.#continueExpected = false;
    return readBody(this.request, this.response, {
      deadlineMs: context.deadlineMs,
      budget: this.gateway.bodyBudget,
      taken: (bytes) => (this.#bodyBytes += bytes),
      continueExpected,
    });
  }

  /** `headers`: names and values in turn, without `Content-Length`. A HEAD request gets the same without the body. */
  answer(status: number, headers: string[], body?: Uint8Array): void {
    if (this.#answered) throw new Error('an exchange was answered twice');
    this.#answered = true;
    const { response, request } = this;
    this.gateway.ended(this.operation, request.socket.destroyed ? 499 : status, systemClock.nowMs() - this.#startedMs, this.#bodyBytes);
    if (status !== 204 && status !== 304) headers.push('Content-Length', String(body?.length ?? 0));
    const closing = this.#connectionMustClose(status);
    if (closing === 'no') headers.push('Keep-Alive', KEPT_ALIVE);
    else headers.push('Connection', 'close');
    response.writeHead(status, headers);
    const content = request.method === 'HEAD' ? undefined : body;
    if (closing === 'after-draining') this.#endAfterDraining(content);
    else if (content === undefined || content.length === 0) response.end();
    // One write instead of two: a string goes out with the header in front. Latin-1 maps each byte to itself.
    else if (content.length <= ONE_WRITE_BYTES_MAX) response.end(latin1(content), 'latin1');
    else response.end(content);
    if (this.entered) this.connection.leave();
  }

  /** @param headers more of them, names and values in turn */
  fail(thrown: unknown, headers: readonly string[] = []): void {
    if (this.#answered) return this.#giveUp(thrown);
    const error = toDiptychError(thrown);
    if (error.code === 'INTERNAL') this.gateway.options.onDefect?.(error, this.operation);
    const body = Buffer.from(JSON.stringify(problemOf(error)));
    this.answer(statusOf(error), ['Content-Type', PROBLEM_CONTENT_TYPE, ...NOT_SNIFFED, ...problemHeaders(error), ...headers], body);
  }

  /** Something failed after the answer had begun: it cannot be taken back, so the client must see that it is not whole. */
  #giveUp(thrown: unknown): void {
    this.gateway.options.onDefect?.(toDiptychError(thrown), this.operation);
    this.response.destroy();
  }

  /**
   * When an answer leaves before its request has arrived whole. A short rest is read by Node and the connection goes on; a rest that
   * may be long is not worth it; and after an unanswered `Expect: 100-continue` nobody knows whether a body follows.
   */
  #connectionMustClose(status: number): 'no' | 'now' | 'after-draining' {
    if (this.#continueExpected) return 'now';
    if (this.request.complete) return 'no';
    const bytes = announcedBytes(this.request);
    if (bytes !== 'unknown' && bytes <= VALUE_BYTES_MAX && status !== 408) return 'no';
    return 'after-draining';
  }

  /**
   * Closing with unread data makes the kernel reset the connection, and the client may lose the answer it has not read yet. So the
   * answer is written, the rest is thrown away for a while, and then the connection ends (lingering close).
   */
  #endAfterDraining(content: Uint8Array | undefined): void {
    const { request, response } = this;
    let bytesLeft = DRAIN_BYTES_MAX;
    const end = () => {
      timer[Symbol.dispose]();
      request.off('data', onData).off('end', end).off('close', end);
      response.end();
    };
    const onData = (chunk: Buffer) => {
      bytesLeft -= chunk.length;
      if (bytesLeft < 0) end();
    };
    const timer = deadlines.at(systemClock.nowMs() + DRAIN_MS_MAX, end);
    if (content) response.write(content);
    else response.flushHeaders();
    request.on('data', onData).on('end', end).on('close', end);
    request.resume();
  }
}

/** Browsers must not guess a type, and must not run what somebody stored here as a page of this origin. */
export const NOT_SNIFFED: readonly string[] = ['X-Content-Type-Options', 'nosniff'];

const KEPT_ALIVE = `timeout=${KEEP_ALIVE_MS / 1_000}`;
const ONE_WRITE_BYTES_MAX = 4_096;
const DRAIN_BYTES_MAX = 8_000_000;
const DRAIN_MS_MAX = 1_000;

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
