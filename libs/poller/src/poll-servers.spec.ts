import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { startProcess, type RunningProcess } from '@diptych/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { pollUrls, type StateChange, type UrlPolling } from './index.js';

const cleanUps: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function listen<S extends TcpServer>(server: S, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

/** A server whose answer a test changes while it is polled. */
async function startServer(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const running = { answer };
  let server = createServer((request, response) => running.answer(request, response));
  const port = await listen(server);
  cleanUps.push(() => close(server));
  const restart = async () => {
    server = createServer((request, response) => running.answer(request, response));
    await listen(server, port);
  };
  const connections = () =>
    new Promise<number>((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
  return { running, url: `http://127.0.0.1:${port}/health`, stop: () => close(server), restart, connections };
}

const status = (code: number) => (_: IncomingMessage, response: ServerResponse) => void response.writeHead(code).end('text');
const hang = () => undefined;

/** Sockets of this process that are open or being opened as a client. */
const clientSockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap' || name === 'ConnectWrap').length;

/** The next change of this kind: on a busy machine a server may look down for a moment besides. */
async function nextChange(polling: UrlPolling, to: StateChange['to'], reason = ''): Promise<StateChange> {
  for await (const change of { [Symbol.asyncIterator]: () => ({ next: () => polling.next() }) })
    if (change.to === to && (change.reason ?? '').startsWith(reason)) return change;
  throw new Error('the polling has ended');
}

/** A process of its own, that can be stopped: it then accepts nothing, and the system completes only a few connections for it. */
async function startStoppable(): Promise<{ child: RunningProcess; url: string }> {
  const program = `const server = require('node:http').createServer((request, response) => response.end('ok'));
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));`;
  const child = await startProcess({ command: process.execPath, args: ['-e', program], ready: /^\d+\n/ });
  cleanUps.push(() => child.kill());
  return { child, url: `http://127.0.0.1:${Number(child.stdout)}/` };
}

describe('polling real servers', () => {
  it('follows one that comes up, answers 503, goes away and comes back on its port', async () => {
    const server = await startServer(status(204));
    const polling = pollUrls({ urls: [server.url], intervalMs: 10, timeoutMs: 15_000, backoffMaxMs: 20 });
    cleanUps.push(() => polling.return());
    const next = async () => (await polling.next()).value;
    expect(await next()).toMatchObject({ url: server.url, from: 'unknown', to: 'up', status: 204 });
    server.running.answer = status(503);
    expect(await next()).toMatchObject({ from: 'up', to: 'down', status: 503, reason: 'answered 503' });
    server.running.answer = status(200);
    expect(await next()).toMatchObject({ from: 'down', to: 'up', status: 200 });
    await server.stop();
    expect(await next()).toMatchObject({ to: 'down', reason: expect.stringMatching(/^ECONN/) as string });
    await server.restart();
    expect(await next()).toMatchObject({ from: 'down', to: 'up', status: 200 });
  });

  it('sees one that accepts and never answers as down, and up again when it answers', async () => {
    const server = await startServer(status(200));
    const polling = pollUrls({ urls: [server.url], intervalMs: 10, timeoutMs: 200, backoffMaxMs: 20 });
    cleanUps.push(() => polling.return());
    await nextChange(polling, 'up');
    server.running.answer = hang;
    await nextChange(polling, 'down', 'no answer within 200 ms');
    server.running.answer = status(200);
    await nextChange(polling, 'up');
  });

  it('reports one that flaps at each poll, change by change', async () => {
    let polls = 0;
    const server = await startServer((request, response) => status(polls++ % 2 === 0 ? 200 : 500)(request, response));
    const seen: string[] = [];
    for await (const { to } of pollUrls({ urls: [server.url], intervalMs: 5, timeoutMs: 5_000, backoffMaxMs: 5 })) {
      seen.push(to);
      if (seen.length === 20) break;
    }
    expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 'up' : 'down')));
  });

  it('sees a process that is stopped as down, and up again when it goes on', async () => {
    const { child, url } = await startStoppable();
    const polling = pollUrls({ urls: [url], intervalMs: 10, timeoutMs: 300, backoffMaxMs: 20 });
    cleanUps.push(() => polling.return());
    await nextChange(polling, 'up');
    await child.kill('SIGSTOP');
    await nextChange(polling, 'down', 'no answer within 300 ms');
    await child.kill('SIGCONT');
    await nextChange(polling, 'up');
  });

  it('asks with the method it is told, on a connection of its own, and takes no more of the answer than its headers', async () => {
    const closed = Promise.withResolvers<void>();
    const seen: Array<string | undefined> = [];
    const server = await startServer((request, response) => {
      seen.push(request.method, request.headers.connection);
      response.writeHead(200).flushHeaders();
      response.write('the first of an endless body');
      response.on('close', () => closed.resolve());
    });
    for (const method of ['GET', 'HEAD'] as const) {
      const polling = pollUrls({ urls: [server.url], timeoutMs: 5_000, method });
      expect((await polling.next()).value).toMatchObject({ to: 'up' });
      await closed.promise;
      await polling.return();
    }
    expect(seen).toEqual(['GET', 'close', 'HEAD', 'close']);
  });

  it('says of a server that speaks no HTTP, or no TLS, why it is down', async () => {
    const server = createTcpServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('220 mail\r\n'),
    );
    const port = await listen(server);
    cleanUps.push(() => new Promise((resolve) => server.close(resolve)));
    const polling = pollUrls({ urls: [`http://127.0.0.1:${port}/`, `https://127.0.0.1:${port}/`], timeoutMs: 5_000 });
    const reasons = [(await polling.next()).value!, (await polling.next()).value!].map(({ to, reason }) => `${to}: ${reason}`);
    await polling.return();
    for (const reason of reasons) expect(reason).toMatch(/^down: (HPE_|EPROTO|ERR_SSL|ECONNRESET)/);
  });
});

describe('the end of polling real servers', () => {
  it('closes the connections that wait for an answer, and those that wait to be accepted', async () => {
    const before = clientSockets();
    const hanging = await startServer(hang);
    const { child, url } = await startStoppable();
    const stopping = new AbortController();
    // Eight requests to a stopped process with room for two connections: the others are stuck while connecting.
    const urls = [hanging.url, ...Array.from({ length: 8 }, (_, index) => `${url}${index}`)];
    await child.kill('SIGSTOP');
    const polling = pollUrls({ urls, pollers: 9, timeoutMs: 60_000, signal: stopping.signal });
    const next = polling.next();
    await vi.waitFor(async () => {
      expect(await hanging.connections()).toBe(1);
      expect(process.getActiveResourcesInfo()).toContain('ConnectWrap');
    }, 10_000);
    stopping.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    // The system closes sockets in the next turns of the event loop, the server hears of it a moment later.
    await vi.waitFor(async () => {
      expect(await hanging.connections()).toBe(0);
      expect(process.getActiveResourcesInfo()).not.toContain('ConnectWrap');
      expect(clientSockets()).toBeLessThanOrEqual(before);
    }, 5_000);
  });
});

describe('npm run poll', () => {
  const repository = fileURLToPath(new URL('../../..', import.meta.url));
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));

  function run(...parameters: string[]) {
    const child = spawn(process.execPath, ['--conditions=@diptych/source', '--import', 'tsx', main, ...parameters], { cwd: repository });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (data: Buffer) => (output.stdout += String(data)));
    child.stderr.on('data', (data: Buffer) => (output.stderr += String(data)));
    const exited = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
    cleanUps.push(() => (child.kill('SIGKILL'), exited));
    return { child, output, exited };
  }

  it('prints changes until Ctrl-C, and exits 0', async () => {
    const server = await startServer(status(200));
    const { child, output, exited } = run(server.url, '--interval-ms', '20', '--timeout-ms', '5000');
    await vi.waitFor(() => expect(output.stdout).toMatch(/^\S+Z {2}http:\S+ {2}unknown → up {2}\(answered 200\)\n$/), 15_000);
    server.running.answer = status(503);
    await vi.waitFor(() => expect(output.stdout).toContain('up → down  (answered 503)'), 15_000);
    child.kill('SIGINT');
    expect([await exited, output.stderr]).toEqual([0, '']);
  });

  it.each([
    [[], 'poll: there is no URL to poll; see --help\n'],
    [['nonsense'], 'poll: "nonsense" is not a URL to poll; write http://host:port/path; see --help\n'],
    [['http://127.0.0.1:1/', '--interval-ms', 'soon'], 'poll: intervalMs must be 1 or more, is NaN; see --help\n'],
  ])('%j: one clear sentence and exit code 2', async (parameters, message) => {
    const { output, exited } = run(...parameters);
    expect([await exited, output.stderr, output.stdout]).toEqual([2, message, '']);
  });

  it('ends when the reader of its output is gone', async () => {
    let polls = 0;
    const server = await startServer((request, response) => status(polls++ % 2 === 0 ? 200 : 500)(request, response));
    const { child, output, exited } = run(server.url, '--interval-ms', '5', '--timeout-ms', '5000');
    await vi.waitFor(() => expect(output.stdout).toContain('up'), 15_000);
    child.stdout.destroy();
    expect([await exited, output.stderr]).toEqual([0, '']);
  });
});
