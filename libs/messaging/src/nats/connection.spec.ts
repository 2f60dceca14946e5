import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { openHandles, assertNoLeaks, waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { Connection } from './connection.js';
import { dial, parseServerAddress } from './dial.js';

/** What each connection is made of: a socket, and when it began and ended. */
interface Dial {
  readonly socket: Socket;
  readonly beganMs: number;
  endedMs: number;
  pings: number;
}

const cleanUps: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A broker that greets, answers pings, and does with the nth connection what the test says when a ping comes. */
async function startBroker(onPing: (dial: Dial, nth: number) => 'answer' | 'drop') {
  const dials: Dial[] = [];
  const server = createServer((socket) => {
    const dial = { socket, beganMs: performance.now(), endedMs: Number.POSITIVE_INFINITY, pings: 0 };
    const nth = dials.push(dial);
    socket.on('error', () => undefined).on('close', () => (dial.endedMs = performance.now()));
    socket.write('INFO {"server_id":"x","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576}\r\n');
    const lines = createInterface(socket).on('error', () => undefined);
    lines.on('line', (line) => {
      if (line !== 'PING') return;
      dial.pings++;
      if (onPing(dial, nth) === 'answer') socket.write('PONG\r\n');
      else socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => {
    dials.forEach(({ socket }) => socket.destroy());
    return new Promise((resolve) => server.close(resolve));
  });
  const connection = await Connection.open({
    servers: [parseServerAddress(`127.0.0.1:${(server.address() as AddressInfo).port}`)],
    name: 'test',
    connectTimeoutMs: 5_000,
    pingIntervalMs: 20,
    pingsOutMax: 100,
    backlogBytesMax: 1_000_000,
    onFault: () => undefined,
  });
  cleanUps.push(() => connection.close());
  return { dials, connection };
}

describe('a connection that is lost again while its subscriptions are made anew', () => {
  it('is dialled by one who waits longer each time, never twice at once', async () => {
    const lost = [2, 3, 4, 5];
    // The first ping is the greeting's, the second follows the subscriptions.
    const { dials, connection } = await startBroker(({ pings }, nth) => (lost.includes(nth) && pings === 2 ? 'drop' : 'answer'));
    connection.subscribe('a', () => undefined);
    const states: string[] = [];
    connection.onStatus((status) => states.push(status));
    dials[0]!.socket.destroy();
    await waitFor(() => connection.status === 'connected');
    const { pings } = dials.at(-1)!;
    await waitFor(() => dials.at(-1)!.pings > pings + 5);
    expect(dials).toHaveLength(6);
    expect(states).toEqual(['disconnected', 'connected']);
    const pausesMs = dials.slice(1).map(({ beganMs }, i) => beganMs - dials[i]!.endedMs);
    for (const pauseMs of pausesMs) expect(pauseMs, 'one at a time').toBeGreaterThan(0);
    // At the fifth attempt from 0.4 to 0.8 s. Timers may be a little early.
    expect(pausesMs[4]).toBeGreaterThan(390);
  });

  it('is given up with the link, and nothing is left', async () => {
    const before = openHandles();
    const { dials, connection } = await startBroker(({ pings }, nth) => (nth > 1 && pings === 2 ? 'drop' : 'answer'));
    connection.subscribe('a', () => undefined);
    dials[0]!.socket.destroy();
    await waitFor(() => dials.length >= 3);
    await connection.close();
    const { length } = dials;
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
    await assertNoLeaks(before);
    expect(dials).toHaveLength(length);
  });
});

it('a subject that NATS cannot have is refused, and keeps no connection from being made anew', async () => {
  const { dials, connection } = await startBroker(() => 'answer');
  for (const subject of ['a b', '', 'a\u00a0b', 'é'.repeat(2_041)])
    expect(() => connection.subscribe(subject, () => undefined)).toThrow(/cannot have the subject/);
  for (const queue of ['a b', 'a\r\nPUB b 0\r\n', 'x'.repeat(4_080)])
    expect(() => connection.subscribe('a', () => undefined, { queue })).toThrow(/cannot have the subject/);
  dials[0]!.socket.destroy();
  await waitFor(() => dials.length === 2 && connection.status === 'connected');
});

it('what is sent to a longer name than brokers take is refused: the line would end the connection for everybody', async () => {
  const { dials, connection } = await startBroker(() => 'answer');
  const longest = 'x'.repeat(4_080);
  connection.publish(longest, new Uint8Array(1));
  for (const subject of [`${longest}x`, 'é'.repeat(2_041), 'x'.repeat(1_000_000)])
    expect(() => connection.publish(subject, new Uint8Array(1))).toThrow(/^nothing was sent: a subject .* 4080 bytes/);
  expect(() => connection.publish('x', new Uint8Array(1), { reply: longest })).toThrow(/may have 4080 bytes/);
  await connection.flush();
  expect(dials).toHaveLength(1);
});

it('an address that asks for TLS gets no connection without, and one of another protocol none at all', async () => {
  const { dials } = await startBroker(() => 'answer');
  const port = dials[0]!.socket.localPort!;
  const address = parseServerAddress(`tls://user:secret@127.0.0.1:${port}`);
  const encrypted = dial({ address, name: 'test', timeoutMs: 10_000, signal: new AbortController().signal });
  await expect(encrypted).rejects.toThrow('the address asks for TLS, which the broker does not have');
  for (const protocol of ['ws', 'wss', 'http']) expect(() => parseServerAddress(`${protocol}://127.0.0.1`)).toThrow(/nats: and tls:/);
});

it('who takes the connection and does not greet is said to, whether it goes on doing so or closes', async () => {
  for (const isPatient of [true, false]) {
    const server = createServer((socket) => void (isPatient ? socket.on('error', () => undefined) : socket.end()));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanUps.push(() => new Promise((resolve) => server.close(resolve)));
    const address = parseServerAddress(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    const taken = new Promise((resolve) => server.once('connection', resolve));
    const patience = new AbortController();
    const refused = dial({ address, name: 'test', timeoutMs: 60_000, signal: patience.signal }).catch((error: Error) => error.message);
    await taken;
    // Of a connection that one end has taken, the other hears in the same turn.
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (isPatient) patience.abort();
    expect(await refused).toMatch(/said nothing.*handshake_first/);
  }
});
