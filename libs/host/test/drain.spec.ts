import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { HTTP_EDGE, startApp, type HttpEdge } from '../src/index.js';

const EchoModule = {
  module: class {},
  providers: [
    { provide: Symbol('echo'), inject: [HTTP_EDGE], useFactory: ({ fastify }: HttpEdge) => fastify.put('/echo', async (r) => r.body) },
  ],
};
const options = { name: 'echo', httpPort: 0, variables: { DIPTYCH_TELEMETRY_LEVEL: 'silent' } };

it('a stop under load resets no connection that is in use', { timeout: 60_000 }, async () => {
  for (let round = 0; round < 10; round++) {
    const app = await startApp(EchoModule, options);
    const counts = { answered: 0 };
    const clients = Array.from({ length: 16 }, () => putUntilClosed(app.url, counts));
    await waitFor(() => counts.answered > 300);
    await app.close();
    expect(await Promise.all(clients), `round ${round}`).toEqual(clients.map(() => 'told'));
  }
});

it('a stop lets an idle connection be for a moment, and answers what comes over it then', async () => {
  const app = await startApp(EchoModule, options);
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
  let answers = '';
  socket.on('data', (chunk) => (answers += chunk.toString()));
  socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
  await waitFor(() => answers.includes('{"ok":true}'));
  const closing = app.close();
  answers = '';
  socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(socket, 'close');
  expect(answers).toMatch(/^HTTP\/1\.1 200 [^]*connection: close\r\n[^]*\{"ok":true\}$/i);
  await closing;
});

/** One kept-alive connection, request after request, until an answer says that it ends, or something else happens. */
async function putUntilClosed(url: string, counts: { answered: number }): Promise<string> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    for (;;) {
      const connection = await put(url, agent);
      counts.answered++;
      if (connection === 'close') return 'told';
    }
  } catch (error) {
    return String(error);
  } finally {
    agent.destroy();
  }
}

function put(url: string, agent: Agent): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${url}/echo`, { method: 'PUT', agent, headers: { 'content-type': 'text/plain' } }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.headers.connection)).on('error', reject);
    });
    outgoing.on('error', reject).end('value');
  });
}
