import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { ServerResponse } from 'node:http';
import { assertNoLeaks, openHandles, waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { HttpListener } from '../src/http-listener.js';

/** Connections end by themselves when nobody uses them: by nobody's timer, so nothing but this shows that they do. */
it('a connection that is unused for long enough ends, and one that is owed an answer does not', async () => {
  const before = openHandles();
  const listener = new HttpListener({ requestTimeoutMs: 60_000, keepAliveMs: 40 });
  await listener.listen('127.0.0.1', 0);
  const owed: ServerResponse[] = [];
  listener.serve((request, response) => void (request.url === '/owed' ? owed.push(response) : response.end('answered')));
  const ask = (path: string): Socket => {
    const socket = connect(Number(new URL(listener.url).port), '127.0.0.1');
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    return socket;
  };
  const waiting = ask('/owed');
  await waitFor(() => owed.length === 1);
  // Each is used once, and ended some time after: the one that waits has been there for longer than all of them.
  for (let round = 0; round < 3; round++) {
    const used = ask('/');
    const [answer] = (await once(used, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1.1 200 [^]*answered$/);
    await once(used.resume(), 'close');
  }
  expect(waiting.destroyed).toBe(false);
  owed[0]!.end('at last');
  const [answer] = (await once(waiting, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1.1 200 [^]*at last$/);
  await once(waiting.resume(), 'close');
  await listener.drain(60_000);
  await assertNoLeaks(before);
});
