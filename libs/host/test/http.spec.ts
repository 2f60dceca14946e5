import { once } from 'node:events';
import { connect } from 'node:net';
import { assertNoLeaks, openHandles } from '@diptych/testing';
import type { DynamicModule } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HTTP_EDGE, LIFETIME, startApp, TELEMETRY, type HttpAnswers, type HttpEdge, type RunningApp } from '../src/index.js';

/** A module that does this when it is made. (Vite knows no parameter decorators outside of what a tsconfig includes.) */
function moduleThat(token: symbol, act: (given: never) => unknown, imports: DynamicModule[] = []): DynamicModule {
  return { module: class {}, imports, providers: [{ provide: Symbol('act'), inject: [token], useFactory: act }] };
}

const PagesModule = moduleThat(HTTP_EDGE, ({ fastify }: HttpEdge) => {
  fastify.post('/echo/:id', async (request) => request.body);
  fastify.get('/fail', async () => {
    throw new Error('a detail nobody outside shall read');
  });
});

const options = { name: 'pages', httpPort: 0, variables: { DIPTYCH_TELEMETRY_LEVEL: 'silent', DIPTYCH_HTTP_REQUEST_TIMEOUT_MS: '1000' } };

describe('HTTP of an app without a gateway', () => {
  let app: RunningApp;
  beforeAll(async () => void (app = await startApp(PagesModule, options)));
  afterAll(() => app.close());

  it('tells whether the process lives, is ready, and measures', async () => {
    expect(await (await fetch(`${app.url}/health/live`)).json()).toEqual({ ok: true });
    const check = app.telemetry.health.check('weather', () => ({ ok: false, reason: 'rain' }));
    const unready = await fetch(`${app.url}/health/ready`);
    expect(unready.status).toBe(503);
    expect(await unready.json()).toEqual({ ok: false, reasons: ['weather: rain'], checks: { weather: { ok: false, reason: 'rain' } } });
    expect(await (await fetch(`${app.url}/metrics`)).text()).toMatch(/^diptych_ready 0$/m);
    check[Symbol.dispose]();
    expect((await fetch(`${app.url}/health/ready`)).status).toBe(200);
    const metrics = await fetch(`${app.url}/metrics`);
    expect(metrics.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of (await metrics.text()).split('\n'))
      expect(line).toMatch(/^$|^# (HELP|TYPE) [a-z_0-9]+ .+$|^[a-z_0-9]+({.*})? ([0-9.e+-]+|NaN|[+-]Inf)$/);
  });

  it('answers a request that says of what type its body is, and has none', async () => {
    const head = 'POST /echo/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n';
    expect(await exchange(app.url, head)).toMatch(/^HTTP\/1.1 200 /);
  });

  it.each([
    ['GET', '/nothing', 404, 'INVALID_REQUEST'],
    ['GET', '/health/live/', 404, 'INVALID_REQUEST'],
    ['GET', '/HEALTH/live', 404, 'INVALID_REQUEST'],
    ['GET', '//health/live', 404, 'INVALID_REQUEST'],
    ['GET', '/health/%zz', 400, 'INVALID_REQUEST'],
    ['DELETE', '/health/live', 405, 'INVALID_REQUEST'],
    ['GET', '/echo/1', 405, 'INVALID_REQUEST'],
    ['GET', '/fail', 500, 'INTERNAL'],
  ])('answers %s %s with a problem document, %d', async (method, path, status, code) => {
    const response = await fetch(app.url + path, { method });
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    const document = (await response.json()) as { detail: string };
    expect(document).toMatchObject({ status, code, type: `urn:diptych:error:${code}` });
    expect(document.detail).not.toMatch(/nobody outside/);
    if (status === 405) expect(response.headers.get('allow')).toBe(path === '/echo/1' ? 'POST' : 'GET, HEAD');
  });

  it('refuses a body it cannot read, or that is too large', async () => {
    const post = (body: string, type = 'application/json') =>
      fetch(`${app.url}/echo/1`, { method: 'POST', body, headers: { 'content-type': type } });
    expect((await post('{"a":1}')).status).toBe(200);
    expect(await (await post('{"a":')).json()).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
    expect(await (await post('x', 'a/b')).json()).toMatchObject({ status: 415, code: 'INVALID_REQUEST' });
    expect(await (await post('x'.repeat(2_000_000))).json()).toMatchObject({ status: 413, code: 'TOO_LARGE' });
  });

  it.each([
    ['bytes that are not HTTP', 'HELO there\r\n\r\n', 400, 'INVALID_REQUEST'],
    ['headers over the limit', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'TOO_LARGE'],
    ['a request for a tunnel', 'CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\nand more', 405, 'INVALID_REQUEST'],
    [
      'a body coded otherwise than in chunks',
      'POST /echo/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n',
      501,
      'INVALID_REQUEST',
    ],
    ['a head that does not end', 'GET / HTTP/1.1\r\nHost: x\r\n', 408, 'DEADLINE_EXCEEDED'],
    [
      'a body that does not end',
      'POST /echo/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
      408,
      'DEADLINE_EXCEEDED',
    ],
  ])('answers %s with a problem document and ends the connection', async (_what, bytes, status, code) => {
    const answer = await exchange(app.url, bytes);
    expect(answer.startsWith(`HTTP/1.1 ${status} `)).toBe(true);
    expect(answer).toContain('content-type: application/problem+json\r\n');
    const body = answer.split('\r\n\r\n')[1]!;
    expect(answer).toContain(`content-length: ${body.length}\r\n`);
    expect(JSON.parse(body)).toMatchObject({ status, code });
    if (status === 405) expect(answer).toMatch(/^allow: $/m);
  });

  it('does not change protocols: an Upgrade is ignored', async () => {
    const upgrade = 'Connection: upgrade, close\r\nUpgrade: websocket\r\n';
    expect(await exchange(app.url, `GET /health/live HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`)).toMatch(/^HTTP\/1\.1 200 [^]*\{"ok":true\}$/);
  });
});

describe('an app in this process', () => {
  it('leaves nothing behind, however often', async () => {
    await (await startApp(PagesModule, options)).close();
    const before = openHandles();
    const listeners = process.eventNames().map((name) => process.listenerCount(name));
    for (let round = 0; round < 2; round++) {
      const app = await startApp(PagesModule, options);
      await (await fetch(`${app.url}/metrics`)).text();
      await app.close();
      await app.close();
    }
    await assertNoLeaks(before);
    expect(process.eventNames().map((name) => process.listenerCount(name))).toEqual(listeners);
  });

  it('closes what it had opened when a later part fails, newest first, and frees its port', async () => {
    const closed: string[] = [];
    const opens = (name: string) => ({
      provide: name,
      inject: [LIFETIME],
      useFactory: (lifetime: { own(name: string, close: () => void): void }) => lifetime.own(name, () => void closed.push(name)),
    });
    const providers = [
      opens('first'),
      { ...opens('second'), inject: [LIFETIME, 'first'] },
      { provide: 'third', inject: ['second'], useFactory: () => Promise.reject(new Error('third broke')) },
    ];
    const BrokenModule = { module: class {}, providers };
    const before = openHandles();
    await expect(startApp(BrokenModule, options)).rejects.toThrow('third broke');
    expect(closed).toEqual(['second', 'first']);
    await assertNoLeaks(before);
  });

  it('gives its tokens to modules that import nothing', async () => {
    let seen: unknown;
    const LeafModule = moduleThat(TELEMETRY, (telemetry) => (seen = telemetry));
    const app = await startApp({ module: class {}, imports: [LeafModule] }, options);
    expect(seen).toBe(app.telemetry);
    await app.close();
  });

  it('lets one part take requests before the routing table is asked, and no second', async () => {
    const TakingModule = moduleThat(HTTP_EDGE, (edge: HttpEdge) => {
      const take: Parameters<HttpEdge['takeFirst']>[0] = (request, response) => {
        if (request.url !== '/health/live') return false;
        response.end('taken');
        return true;
      };
      edge.takeFirst(take);
      expect(() => edge.takeFirst(take)).toThrow(RangeError);
      return edge;
    });
    const app = await startApp(TakingModule, options);
    expect(await (await fetch(`${app.url}/health/live`)).text()).toBe('taken');
    expect((await fetch(`${app.url}/health/ready`)).status).toBe(200);
    expect((await fetch(`${app.url}/nothing`)).status).toBe(404);
    await app.close();
  });

  it('lets one part answer its errors, and no second', async () => {
    const AnsweringModule = moduleThat(HTTP_EDGE, (edge: HttpEdge) => {
      const answers: HttpAnswers = { onNotFound: (_request, reply, allow) => reply.code(418).send(allow.join()) };
      edge.answerWith(answers);
      expect(() => edge.answerWith(answers)).toThrow(RangeError);
      return edge;
    });
    const app = await startApp(AnsweringModule, options);
    const response = await fetch(`${app.url}/metrics`, { method: 'PUT' });
    expect([response.status, await response.text()]).toEqual([418, 'GET,HEAD']);
    await app.close();
  });
});

/** Sends bytes as they are and reads until the other side ends. */
async function exchange(url: string, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString()));
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}
