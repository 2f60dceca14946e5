import { connect } from 'node:net';
import { request as httpRequest } from 'node:http';
import { onTestFinished } from 'vitest';
import { HTTP_EDGE, startApp, type HttpEdge } from '@diptych/host';
import type { DynamicModule } from '@nestjs/common';
import { Gateway, type GatewayOptions } from '../src/gateway.js';
import { registerGateway } from '../src/register-gateway.js';
import { FakeCache, FakeLog } from './fakes.js';

export interface Served {
  readonly log: FakeLog;
  readonly cache: FakeCache;
  readonly gateway: Gateway;
  readonly port: number;
  /** One request, its path sent as it is written. */
  send(method: string, path: string, options?: SendOptions): Promise<Answer>;
  /** Bytes as they are; resolves with all that came back until the connection ended. */
  raw(...pieces: Array<string | Buffer>): Promise<string>;
}

export interface SendOptions {
  readonly headers?: Record<string, string | string[]> | string[];
  readonly body?: string | Uint8Array;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | undefined>;
  readonly body: Buffer;
  /** The body as JSON. */
  json(): Record<string, unknown>;
}

/** A gateway over fakes, in a process as the host makes it, on a free port, until the test has finished. */
export async function serve(options: Partial<GatewayOptions> = {}): Promise<Served> {
  const log = new FakeLog();
  const cache = new FakeCache(log);
  const gateway = new Gateway({ log, cache }, options);
  const app = await startApp(edgeOf(gateway), {
    name: 'gateway-test',
    httpPort: 0,
    variables: { DIPTYCH_TELEMETRY_LEVEL: 'fatal', DIPTYCH_HTTP_DRAIN_MS: '200' },
  });
  onTestFinished(() => app.close());
  const port = Number(new URL(app.url).port);
  return {
    log,
    cache,
    gateway,
    port,
    send: (method, path, sendOptions) => send(port, method, path, sendOptions),
    raw: (...pieces) => raw(port, pieces),
  };
}

/** A module that mounts this very gateway. */
function edgeOf(gateway: Gateway): DynamicModule {
  class EdgeModule {}
  const provider = { provide: EdgeModule.name, inject: [HTTP_EDGE], useFactory: (edge: HttpEdge) => registerGateway(edge, gateway) };
  return { module: EdgeModule, providers: [provider] };
}

export function send(port: number, method: string, path: string, { headers = {}, body }: SendOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port, method, path, headers: framed(headers, body) as Record<string, string>, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const all = Buffer.concat(chunks);
          resolve({
            status: response.statusCode!,
            headers: response.headers as Record<string, string | undefined>,
            body: all,
            json: () => JSON.parse(all.toString()) as Record<string, unknown>,
          });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** Node sends the body of a DELETE or an OPTIONS without saying how long it is. */
function framed(headers: NonNullable<SendOptions['headers']>, body: SendOptions['body']): NonNullable<SendOptions['headers']> {
  if (Array.isArray(headers) || body === undefined || 'content-length' in headers || 'transfer-encoding' in headers) return headers;
  return { ...headers, 'content-length': String(Buffer.byteLength(body)) };
}

function raw(port: number, pieces: ReadonlyArray<string | Buffer>): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => {
      for (const piece of pieces) socket.write(piece);
    });
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}
