import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { FROM_SOURCE, startProcess, waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { FaultControl } from './index.js';

const MAIN = fileURLToPath(new URL('./fault-proxy-main.ts', import.meta.url));
const ARGS = [...FROM_SOURCE, MAIN];

it('the proxy is a process too, told what to do by HTTP, and ends cleanly by SIGTERM', async () => {
  const server = createServer((socket) => void socket.pipe(socket).on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstream = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const running = await startProcess({
    command: process.execPath,
    args: [...ARGS, '--control', '127.0.0.1:0', '--route', `echo=127.0.0.1:0,${upstream}`],
    ready: /"event":"ready"/,
  });
  try {
    const { url, ports } = JSON.parse(running.stdout) as { url: string; ports: { echo: number } };
    const echo = new FaultControl(url, 'echo');
    expect((await fetch(`${url}/health`)).status).toBe(204);
    await echo.setFaults({ toClient: { latencyMs: 30 } });
    const client = connect(ports.echo, '127.0.0.1').on('error', () => undefined);
    client.write('x');
    await once(client, 'data');
    expect((await echo.tally()).toClient).toMatchObject({ chunks: 1, bytesOut: 1 });
    expect((await echo.tally()).toClient.delayMsMin).toBeGreaterThanOrEqual(30);
    expect(await echo.reset()).toBe(1);
    await waitFor(() => client.destroyed, { what: 'the reset arrives' });

    await expect(echo.setFaults({ toClient: { latencyMs: -1 } })).rejects.toThrow(/400/);
    await expect(new FaultControl(url, 'other').tally()).rejects.toThrow(/404.*proxies: echo/);
    expect((await fetch(`${url}/v1/proxies/echo/faults`, { method: 'PUT', body: '{' })).status).toBe(400);
    expect((await fetch(`${url}/v1/proxies/echo/faults`)).status).toBe(405);
    expect((await fetch(`${url}/v1/proxies/echo/faults`, { method: 'PUT', body: ' '.repeat(70_000) })).status).toBe(413);
  } finally {
    expect(await running.stop()).toEqual({ code: 0, signal: null });
    server.close();
  }
});

it.each([[[]], [['--control', 'nowhere']], [['--control', '127.0.0.1:0', '--route', 'a=b']], [['--what']]])(
  'a process that is told nonsense (%j) says so and exits with 2',
  async (args) => {
    const running = await startProcess({ command: process.execPath, args: [...ARGS, ...args] });
    expect(await running.exited).toEqual({ code: 2, signal: null });
    expect(running.stderr).not.toBe('');
  },
);
