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
}

export interface HttpAnswers {
  /** Whatever was thrown by a handler or a hook, or refused by Fastify (`error.code` then begins with `FST_`). */
  readonly onError?: (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) => unknown;
  /** `allow`: the methods this path does have; empty when there is no such path (404), else 405. */
  readonly onNotFound?: (request: FastifyRequest, reply: FastifyReply, allow: readonly string[]) => unknown;
}
