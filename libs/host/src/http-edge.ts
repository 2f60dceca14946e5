import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/**
 * The HTTP server of a process, for the part that owns its paths. `/health/live`, `/health/ready` and `/metrics` are there
 * already, in every app.
 *
 * Fastify allows one not-found handler and one error handler. The host sets both; they answer with problem documents
 * (404, 405 with `Allow`, and what Fastify refuses by itself) until a part says that it answers.
 */
export interface HttpEdge {
  readonly fastify: FastifyInstance;
  /** @throws RangeError when another part has done so before */
  answerWith(answers: HttpAnswers): void;
  /**
   * Has requests that are known at a glance pass by the routing table, which costs more than a cached answer. Only for what the table would give to the same
   * part, which answers all that it takes.
   *
   * @param take whether it has taken the request. Must not throw
   * @throws RangeError when another part has done so before
   */
  takeFirst(take: (request: IncomingMessage, response: ServerResponse) => boolean): void;
}

export interface HttpAnswers {
  /** Whatever was thrown by a handler or a hook, or refused by Fastify (`error.code` then begins with `FST_`). */
  readonly onError?: (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) => unknown;
  /** `allow`: the methods this path does have; empty when there is no such path (404), else 405. */
  readonly onNotFound?: (request: FastifyRequest, reply: FastifyReply, allow: readonly string[]) => unknown;
}

/**
 * How long a connection is kept that nobody uses. Longer than the idle time of usual balancers (60 s), so that it is they who end one and never a request
 * meets a closing one. Node says it in `Keep-Alive` only where it keeps the time itself, so whoever answers says it.
 */
export const KEEP_ALIVE_MS = 65_000;
