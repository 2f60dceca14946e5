import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { assertNoLeaks, openHandles, startNatsServer } from './index.js';

it('serves on its port, again after a kill, and not after stop', async () => {
  const before = openHandles();
  const server = await startNatsServer();
  expect(await greeting(server.port)).toMatch(/^INFO /);
  const { pid } = server;
  await server.kill();
  await expect(greeting(server.port)).rejects.toThrow(/ECONNREFUSED/);
  await server.restart();
  expect(server.pid).not.toBe(pid);
  expect(await greeting(server.port)).toMatch(/^INFO /);
  await server.stop();
  await expect(greeting(server.port)).rejects.toThrow(/ECONNREFUSED/);
  await assertNoLeaks(before);
});

async function greeting(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });
}
