import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Address } from './connection.js';
import type { FaultProxy } from './fault-proxy.js';
import type { Faults } from './faults.js';

export interface ControlServer extends AsyncDisposable {
  readonly url: string;
}

const BODY_BYTES_MAX = 65_536;

/**
 * Serves proxies to other processes by HTTP, without any authentication: it belongs on a loopback interface or a test's own network.
 *
 * | call | answers |
 * |---|---|
 * | `GET /health` | 204 |
 * | `GET /v1/proxies/{name}` | 200, `{ listen, upstream, faults, tally }` |
 * | `PUT /v1/proxies/{name}/faults`, a `Faults` document | 204; 400 when it is none |
 * | `POST /v1/proxies/{name}/reset` | 200, `{ reset }`: how many connections were ended |
 *
 * @throws Error when the address cannot be had
 */
export async function serveControl(proxies: ReadonlyMap<string, FaultProxy>, listen: Address): Promise<ControlServer> {
  const server = createServer((request, response) => {
    answer(proxies, request).then(
      ([status, body]) => send(response, status, body),
      (error: unknown) => send(response, error instanceof RefusedRequest ? error.status : 500, { error: String(error) }),
    );
  });
  server.listen(listen);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${listen.host}:${port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

class RefusedRequest extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function answer(proxies: ReadonlyMap<string, FaultProxy>, request: IncomingMessage): Promise<[status: number, body?: object]> {
  const { method, url = '' } = request;
  if (url === '/health') return [204];
  const [, name, action = ''] = /^\/v1\/proxies\/([\w-]+)(?:\/(faults|reset))?$/.exec(url) ?? [];
  const proxy = name === undefined ? undefined : proxies.get(name);
  if (!proxy) throw new RefusedRequest(404, `there is no ${url}; proxies: ${[...proxies.keys()].join(', ')}`);
  switch (`${method} ${action}`) {
    case 'GET ':
      return [200, { listen: proxy.address, upstream: proxy.upstream, faults: proxy.faults, tally: await proxy.tally() }];
    case 'POST reset':
      return [200, { reset: await proxy.reset() }];
    case 'PUT faults':
      await proxy.setFaults(await faultsOf(request)).catch((error: unknown) => {
        throw error instanceof TypeError ? new RefusedRequest(400, error.message) : error;
      });
      return [204];
    default:
      throw new RefusedRequest(405, `${method} is not for ${url}`);
  }
}

/** Whether they are faults at all is the proxy's to check. */
async function faultsOf(request: IncomingMessage): Promise<Faults> {
  let text = '';
  // What is too much is read and dropped: leaving off in the middle would end the connection before the answer.
  for await (const chunk of request.setEncoding('utf8')) if (text.length <= BODY_BYTES_MAX) text += String(chunk);
  if (text.length > BODY_BYTES_MAX) throw new RefusedRequest(413, `a body has at most ${BODY_BYTES_MAX} bytes`);
  try {
    return JSON.parse(text) as Faults;
  } catch {
    throw new RefusedRequest(400, 'the body is no JSON');
  }
}

function send(response: ServerResponse, status: number, body: object | undefined): void {
  if (body === undefined) response.writeHead(status).end();
  else response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
