import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { RequestListener } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { HealthReport, Telemetry } from '@diptych/telemetry';
import { isDiptychError, ERROR_TABLE, type ErrorCode } from '@diptych/kernel';
import type { HttpAnswers, HttpEdge } from './http-edge.js';
import type { HttpListener } from './http-listener.js';
import { AllowedMethods } from './allowed-methods.js';
import { PROBLEM_CONTENT_TYPE, problem } from './problem.js';

/** Routes have no JSON schemas here; to load what compiles them would cost a start a tenth of its CPU. */
const noSchemas = (): never => {
  throw new Error('no route of this server may have a JSON schema: it has no compiler for them');
};

/**
 * Fastify on a listener that somebody else opens and closes, with the paths every app has. `open` lets requests in once all
 * routes are there.
 */
export function createHttpServer(
  listener: HttpListener,
  telemetry: Telemetry,
  overview: Overview = overviewOf(telemetry),
): HttpEdge & { open(): Promise<void>; adapter: FastifyAdapter } {
  let handler: RequestListener | undefined;
  let answers: HttpAnswers = {};
  let answered = false;
  let takeFirst: Parameters<HttpEdge['takeFirst']>[0] | undefined;
  const server = fastify({
    serverFactory: (fastifyHandler) => {
      handler = fastifyHandler;
      return listener.server;
    },
    // The listener answers these itself: it must before Fastify is ready, too.
    clientErrorHandler: () => undefined,
    frameworkErrors: (error, request, reply) => void onError(error, request, reply),
    routerOptions: {
      caseSensitive: true,
      ignoreTrailingSlash: false,
      ignoreDuplicateSlashes: false,
      // A key of 1,024 bytes is 3,072 characters when all are escaped. Node's limit on the head of a request, 16 KiB, comes first.
      maxParamLength: 16_384,
    },
    logger: false,
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    // Plugins are timed from their registration; a log may take longer than any limit to read itself in.
    pluginTimeout: 0,
  });
  const allowed = new AllowedMethods(server);
  const onError = (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) =>
    answers.onError ? answers.onError(error, request, reply) : answerError(error, reply, telemetry);
  server.setErrorHandler<FastifyError>((error, request, reply) => onError(error, request, reply));
  const onNotFound = (request: FastifyRequest, reply: FastifyReply) => {
    const allow = allowed.at(request.url);
    return answers.onNotFound ? answers.onNotFound(request, reply, allow) : answerNotFound(request, reply, allow);
  };
  server.setNotFoundHandler(onNotFound);
  // That handler comes after the body parsers, which would answer a POST to nowhere by its content type, with 415.
  server.addHook('onRequest', (request, reply, done) => {
    // Where no body is announced Fastify would wait for the end of one whose type is given, and that has been already (`optimizeEmptyRequests`).
    if (request.raw.readableEnded) delete request.raw.headers['content-type'];
    if (request.is404) onNotFound(request, reply);
    else done();
  });
  mountHealth(server, overview);
  return {
    fastify: server,
    adapter: new HostAdapter(server as never),
    answerWith(given) {
      if (answered) throw new RangeError('two parts of this process want to answer the errors of its HTTP server');
      answered = true;
      answers = given;
    },
    takeFirst(take) {
      if (takeFirst) throw new RangeError('two parts of this process want to take requests first');
      takeFirst = take;
    },
    async open() {
      await server.ready();
      const route = handler!;
      const take = takeFirst;
      listener.serve(take ? (request, response) => void (take(request, response) || route(request, response)) : route);
    },
  };
}

/** Nest sets handlers of its own while it starts; Fastify takes one of each, and the host has set them. */
class HostAdapter extends FastifyAdapter {
  override setErrorHandler(): never {
    return undefined as never;
  }

  override setNotFoundHandler(): never {
    return undefined as never;
  }

  /** Middleware for Express is set up when the first is used, not for nothing: it costs a hook on each request. */
  override async init(): Promise<void> {}
}

/** What a process says of itself as a whole to those who ask by HTTP. Neither rejects. */
export interface Overview {
  ready(): Promise<HealthReport>;
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
}

function overviewOf({ health, metrics }: Telemetry): Overview {
  return {
    ready: async () => health.ready(),
    metrics: async () => ({ contentType: metrics.contentType, text: await metrics.metrics() }),
  };
}

function mountHealth(server: FastifyInstance, overview: Overview): void {
  server.get('/health/live', async () => ({ ok: true }));
  server.get('/health/ready', async (_request, reply) => {
    const report = await overview.ready();
    return reply
      .code(report.ok ? 200 : 503)
      .header('cache-control', 'no-store')
      .send(report);
  });
  server.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await overview.metrics();
    return reply.header('content-type', contentType).send(text);
  });
}

function answerNotFound(request: FastifyRequest, reply: FastifyReply, allow: readonly string[]): FastifyReply {
  if (allow.length === 0) return send(reply, 404, 'INVALID_REQUEST', `there is nothing at ${pathOf(request.url)}`);
  void reply.header('allow', allow.join(', '));
  return send(
    reply,
    405,
    'INVALID_REQUEST',
    `${request.method} is not possible at ${pathOf(request.url)}; possible are ${allow.join(', ')}`,
  );
}

function answerError(error: FastifyError | Error, reply: FastifyReply, { logger }: Telemetry): FastifyReply {
  if (isDiptychError(error)) return send(reply, ERROR_TABLE[error.code].httpStatus, error.code, error.message);
  const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500;
  if (status < 500) return send(reply, status, status === 413 ? 'TOO_LARGE' : 'INVALID_REQUEST', error.message);
  logger.error({ err: error }, 'a request failed');
  return send(reply, 500, 'INTERNAL', 'internal error');
}

/** As bytes: to text Fastify would add a charset, which JSON does not have. */
function send(reply: FastifyReply, status: number, code: ErrorCode, detail: string): FastifyReply {
  return reply
    .code(status)
    .header('content-type', PROBLEM_CONTENT_TYPE)
    .send(Buffer.from(JSON.stringify(problem(status, code, detail))));
}

function pathOf(url: string): string {
  return url.split('?', 1)[0]!;
}
