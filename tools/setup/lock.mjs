import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/**
 * Runs `work` while no other process of this machine does so for the same `name`. The lock is a listening local socket, so the operating
 * system gives it back however its holder ends, and those who wait learn it at once, by the end of their connection.
 *
 * @template T
 * @param {string} name @param {() => void} onWait called once when somebody else holds the lock @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(name, onWait, work) {
  const address = addressOf(name);
  let server = await listen(address);
  if (!server) onWait();
  while (!server) {
    if ((await untilReleased(address)) === 'abandoned') rmSync(address, { force: true });
    server = await listen(address);
  }
  try {
    return await work();
  } finally {
    server.close();
    for (const waiter of waiters) waiter.destroy();
  }
}

/** Connections of those who wait for the lock that this process holds. @type {Set<import('node:net').Socket>} */
const waiters = new Set();

/** @param {string} name */
function addressOf(name) {
  const id = `diptych-${createHash('sha256').update(`${userInfo().username}:${name}`).digest('hex').slice(0, 16)}`;
  if (process.platform === 'linux') return `\0${id}`; // the abstract namespace: no file that could outlive its holder
  if (process.platform === 'win32') return `\\\\.\\pipe\\${id}`;
  return join(tmpdir(), `${id}.sock`);
}

/** @param {string} address @returns {Promise<import('node:net').Server | undefined>} undefined when somebody else listens */
function listen(address) {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      waiters.add(socket);
      socket.on('error', () => {}).on('close', () => waiters.delete(socket));
    });
    server.once('error', (/** @type {NodeJS.ErrnoException} */ error) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(address, () => resolve(server));
  });
}

/** @param {string} address @returns {Promise<'released' | 'abandoned'>} abandoned: a socket file without a process, left by a crash */
function untilReleased(address) {
  return new Promise((resolve) => {
    const socket = connect(address);
    let connected = false;
    socket.on('connect', () => (connected = true));
    socket.on('error', (/** @type {NodeJS.ErrnoException} */ error) =>
      resolve(error.code === 'ECONNREFUSED' && address.endsWith('.sock') ? 'abandoned' : 'released'),
    );
    socket.on('close', () => connected && resolve('released'));
    socket.resume();
  });
}
