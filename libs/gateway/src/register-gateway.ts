import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { DiptychError, isDiptychError } from '@diptych/kernel';
import type { HttpEdge } from '@diptych/host';
import type { Exchange } from './exchange.js';
import type { Gateway } from './gateway.js';
import { methodsOf, operationOf } from './dispatch.js';
import { noSuchMethod, noSuchRoute, Refusal } from './problem.js';
import { KEY_PATH, type Resource } from './target.js';

/**
 * Mounts the HTTP table, and takes keys before it is asked: what a framework makes of a request costs more than the gateway's own work on it. Every route is taken over in its `onRequest` hook, before Fastify would look at the body or its type, and
 * answered on Node's response: what Fastify adds here is the routing table that the host's own paths are in as well.
 */
export function registerGateway(edge: HttpEdge, gateway: Gateway): void {
  const { fastify } = edge;
  for (const [url, resource] of ROUTES) {
    fastify.route({
      url,
      method: [...methodsOf(resource)],
      exposeHeadRoute: false,
      onRequest: (request, reply) => {
        void reply.hijack();
        gateway.handle(request.raw, reply.raw);
      },
      handler: unreachable,
    });
  }
  edge.takeFirst((request, response) => {
    // In absolute form, or with a method that keys do not have, it is left to the table.
    if (!request.url!.startsWith(KEY_PATH) || !operationOf('key', request.method!)) return false;
    gateway.handle(request, response);
    return true;
  });
  edge.answerWith({
    onNotFound(request, reply, allow) {
      void reply.hijack();
      const exchange = gateway.begin(request.raw, reply.raw, 'none');
      exchange.fail(allow.length === 0 ? noSuchRoute(exchange.path) : noSuchMethod(request.method, allow));
    },
    onError(error, request, reply) {
      void reply.hijack();
      gateway.begin(request.raw, reply.raw, 'none').fail(refusalOf(error));
    },
  });
  expectations(fastify.server, gateway);
}

const ROUTES: ReadonlyArray<readonly [url: string, resource: Resource]> = [
  ['/v1/keys/*', 'key'],
  ['/v1/keys', 'keys'],
  ['/v1/report', 'report'],
  ['/openapi.json', 'openapi'],
];

/** Node would answer `100 Continue` by itself, before anybody has seen whether the body is wanted. */
function expectations(server: Server, gateway: Gateway): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    gateway.expectContinue(request);
    server.emit('request', request, response);
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const exchange: Exchange = gateway.begin(request, response, 'none');
    exchange.fail(new Refusal(417, 'INVALID_REQUEST', 'Expect can only be 100-continue'));
  });
}

/** What Fastify refuses by itself is the client's fault unless it says otherwise. */
function refusalOf(error: Error & { code?: unknown; statusCode?: number | undefined }): Error {
  if (isDiptychError(error)) return error;
  if (error.code === 'FST_ERR_BAD_URL')
    return new DiptychError('INVALID_REQUEST', 'the path has a broken percent escape, or one that is not UTF-8');
  const { statusCode } = error;
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return error;
  return new Refusal(statusCode, statusCode === 413 ? 'TOO_LARGE' : 'INVALID_REQUEST', error.message);
}

function unreachable(): never {
  throw new Error('the onRequest hook of this route answers');
}
