import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { HttpClient } from './http-client.js';
import { operationFor, type Operation } from './operations.js';

const GET: Operation = { method: 'GET', path: '/x', body: undefined, bodyPrefix: 'key|', statuses: [200] };
const PUT: Operation = { method: 'PUT', path: '/x', body: 'key|1|é', bodyPrefix: undefined, statuses: [201, 204] };

let server: Server;
let client: HttpClient;
const sockets = new Set<Socket>();

afterEach(async () => {
  client.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

/** A server that says just what it is told, for each request in turn, whatever was asked. */
async function answering(pieces: ReadonlyArray<readonly string[]>, connectionsMax = 1): Promise<string[]> {
  const asked: string[] = [];
  let turn = 0;
  server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => undefined));
    const say = async (data: Buffer) => {
      asked.push(data.toString());
      for (const piece of pieces[turn++] ?? []) {
        if (piece === 'RESET') socket.resetAndDestroy();
        else socket.write(piece);
        // Each piece arrives by itself.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    socket.on('data', (data) => void say(data));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  client = new HttpClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, connectionsMax);
  return asked;
}

const send = (operation: Operation) =>
  new Promise<[string, number]>((resolve) => void client.send(operation, (outcome, status) => resolve([outcome, status])));

describe('HttpClient', () => {
  it('reads answers with a length, in one piece, cut anywhere, and one after another on one connection', async () => {
    const whole = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nkey|ab';
    const asked = await answering([
      [whole],
      [whole.slice(0, 10), whole.slice(10, 37), whole.slice(37)],
      [whole.slice(0, 39), whole.slice(39)],
    ]);
    for (let i = 0; i < 3; i++) expect(await send(GET)).toEqual(['good', 200]);
    expect(asked).toHaveLength(3);
    expect(sockets.size).toBe(1);
  });

  it('reads chunked answers, the end cut anywhere', async () => {
    await answering([
      ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nkey|ab\r\n', '0\r', '\n\r\n'],
      ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nkey|\r\n0\r\n\r\n'],
    ]);
    expect(await send(GET)).toEqual(['good', 200]);
    expect(await send(GET)).toEqual(['good', 200]);
  });

  it('reads answers without a body, and sends a body with its length in bytes', async () => {
    const asked = await answering([
      ['HTTP/1.1 204 No Content\r\n\r\n'],
      ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n'],
    ]);
    expect(await send(PUT)).toEqual(['good', 204]);
    expect(await send(PUT)).toEqual(['good', 201]);
    expect(asked[0]).toContain('PUT /x HTTP/1.1\r\n');
    expect(asked[0]).toContain('Content-Length: 8\r\n\r\nkey|1|é');
  });

  it('compares bytes: a key beyond ASCII is found at the start of its value', async () => {
    const { bodyPrefix } = operationFor('hit', 'São Paulo', '1', 20);
    await answering([[`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength('São Paulo|1')}\r\n\r\nSão Paulo|1`]]);
    expect(await send({ ...GET, bodyPrefix })).toEqual(['good', 200]);
  });

  it('tells wrong answers and wrong statuses from good ones', async () => {
    await answering([
      ['HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nother|'],
      ['HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}'],
      ['HTTP/1.1 503 no\r\nContent-Length: 4\r\n\r\nkey|'],
    ]);
    expect(await send(GET)).toEqual(['wrong-answer', 200]);
    expect(await send(GET)).toEqual(['wrong-status', 404]);
    expect(await send(GET)).toEqual(['wrong-status', 503]);
  });

  it('tells an error that says that nothing was and will be done from one that leaves it open', async () => {
    const problem = (definite: boolean) => {
      const body = JSON.stringify({ status: 503, code: 'X', definite });
      return [`HTTP/1.1 503 no\r\nContent-Length: ${body.length}\r\n\r\n${body}`];
    };
    await answering([problem(true), problem(false)]);
    expect(await send(PUT)).toEqual(['refused', 503]);
    expect(await send(PUT)).toEqual(['wrong-status', 503]);
  });

  it('ends what was under way as a reset when the connection breaks, and goes on with a new one', async () => {
    await answering([['HTTP/1.1 200 OK\r\nContent-Le', 'RESET'], ['HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkey|']]);
    expect((await send(GET))[0]).toBe('reset');
    expect((await send(GET))[0]).toBe('good');
  });

  it('is a reset when nobody listens', async () => {
    await answering([]);
    await new Promise((resolve) => server.close(resolve));
    expect((await send(GET))[0]).toBe('reset');
  });

  it('sends nothing when all connections are taken, and an expired request ends once, as a timeout', async () => {
    await answering([[]]);
    await client.open(1);
    const ends: string[] = [];
    const first = client.send(GET, (outcome) => ends.push(outcome));
    expect(client.send(GET, () => ends.push('second'))).toBeUndefined();
    first!.expire();
    // By then the broken connection has said all that it will.
    await waitFor(() => sockets.size === 0, { what: 'the server sees the connection go' });
    expect(ends).toEqual(['timeout']);
  });
});
