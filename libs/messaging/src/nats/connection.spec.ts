import { getEventListeners } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { freePort, openHandles, assertNoLeaks, waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { startScriptedBroker, type ScriptedBroker } from '../../test/scripted-broker.js';
import { Connection } from './connection.js';
import { dial, parseServerAddress } from './dial.js';

const cleanUps: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function startBroker(onPing?: Parameters<typeof startScriptedBroker>[0]) {
  const broker = await startScriptedBroker(onPing);
  cleanUps.push(() => broker.close());
  return { dials: broker.dials, connection: await connectTo(broker) };
}

const connectTo = (...brokers: ScriptedBroker[]) => open(brokers.map(({ port }) => port));

async function open(ports: number[], options: Partial<Parameters<typeof Connection.open>[0]> = {}): Promise<Connection> {
  const connection = await Connection.open({
    servers: ports.map((port) => parseServerAddress(`127.0.0.1:${port}`)),
    name: 'test',
    connectTimeoutMs: 5_000,
    pingIntervalMs: 20,
    pingsOutMax: 100,
    backlogBytesMax: 1_000_000,
    onFault: () => undefined,
    ...options,
  });
  cleanUps.push(() => connection.close());
  return connection;
}

it('a signal closes it, is looked at before it is made, and is not kept when it has ended', async () => {
  const { dials } = await startBroker();
  const port = dials[0]!.socket.localPort!;
  const owner = new AbortController();
  const connection = await open([port], { signal: owner.signal });
  expect(getEventListeners(owner.signal, 'abort')).toHaveLength(1);
  await connection.close();
  const free = await freePort();
  await expect(open([free], { signal: owner.signal, connectTimeoutMs: 0 })).rejects.toThrow('cannot reach');
  expect(getEventListeners(owner.signal, 'abort')).toHaveLength(0);

  const other = await open([port], { signal: owner.signal });
  owner.abort();
  expect(other.status).toBe('closed');
  await expect(open([port], { signal: owner.signal })).rejects.toThrow('closed');
  expect(dials).toHaveLength(3);
});

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

it('of several brokers the one that was lost is tried last: it may be gone without a word', async () => {
  // Half of them would find it first, in the list that is begun anywhere.
  for (let round = 0; round < 8; round++) {
    const brokers = [await startScriptedBroker(), await startScriptedBroker()];
    cleanUps.push(...brokers.map((broker) => () => broker.close()));
    const connection = await connectTo(...brokers);
    const lost = brokers.find(({ dials }) => dials.length > 0)!;
    lost.mute();
    lost.dials[0]!.socket.destroy();
    await waitFor(() => connection.status === 'disconnected');
    await waitFor(() => connection.status === 'connected', { timeoutMs: 60_000 });
    expect(lost.dials).toHaveLength(1);
  }
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

describe('a broker that says what no broker says', () => {
  it('of itself is not believed, and the connection is made anew when it is lost', async () => {
    const { dials, connection } = await startBroker(() => 'answer');
    const [first] = dials;
    for (const urls of ['5', '"abc"', '{}', '[5,null,{}]', 'null'])
      first!.socket.write(`INFO {"connect_urls":${urls},"max_payload":"x","ldm":"yes","headers":[]}\r\n`);
    // It is taken over with a heartbeat.
    const { pings } = first!;
    await waitFor(() => first!.pings > pings + 2);
    expect(connection.payloadBytesMax).toBe(1_048_576);
    first!.socket.destroy();
    await waitFor(() => dials.length === 2 && connection.status === 'connected');
  });

  it('in place of a handshake is given up, and nothing is left', async () => {
    const before = openHandles();
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket.on('error', () => undefined).resume());
      socket.write('INFO {"tls_required":true,"headers":true}\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const patience = new AbortController();
    const address = parseServerAddress(`tls://127.0.0.1:${port}`);
    const refused = dial({ address, name: 'test', timeoutMs: 60_000, signal: patience.signal }).catch((error: Error) => error.message);
    // The second is the one that is encrypted: its first bytes are those of the handshake.
    await waitFor(() => sockets.length === 2 && sockets[1]!.bytesRead > 0);
    patience.abort(new Error('enough'));
    expect(await refused).toBe('enough');
    await new Promise((resolve) => server.close(resolve));
    await assertNoLeaks(before);
  });
});

describe('a broker that says that it will end', () => {
  const LAME = 'INFO {"ldm":true}\r\n';

  it('is left once, however often it says so', async () => {
    const { dials, connection } = await startBroker(() => 'answer');
    connection.subscribe('a', () => undefined);
    const states: string[] = [];
    connection.onStatus((status) => states.push(status));
    dials[0]!.socket.write(`${LAME}INFO {"ldm":false}\r\n`.repeat(50));
    await waitFor(() => states.length === 2);
    const { pings } = dials[1]!;
    await waitFor(() => dials[1]!.pings > pings + 5);
    expect(states).toEqual(['disconnected', 'connected']);
    expect(dials).toHaveLength(2);
  });

  it('and each after it, is left by one who waits longer each time', async () => {
    const { dials, connection } = await startBroker(({ pings, socket }, nth) => {
      if (nth > 1 && pings === 2) socket.write(LAME);
      return 'answer';
    });
    connection.subscribe('a', () => undefined);
    dials[0]!.socket.write(LAME);
    await waitFor(() => dials.length >= 6, { timeoutMs: 30_000 });
    // By what it waits at least, or by a session that lasted.
    expect(dials[5]!.beganMs - dials[0]!.beganMs).toBeGreaterThan(1_000);
  });

  it('when it lets us in is not gone to', async () => {
    const { dials } = await startBroker(({ pings, socket }, nth) => {
      if (nth === 1 || pings > 1) return 'answer';
      socket.write(`PONG\r\n${LAME}`);
      return 'answer';
    });
    const address = parseServerAddress(`127.0.0.1:${dials[0]!.socket.localPort}`);
    const refused = dial({ address, name: 'test', timeoutMs: 60_000, signal: new AbortController().signal });
    await expect(refused).rejects.toThrow('the broker says that it will end');
  });

  it('while the one before it is being left is left too', async () => {
    const { dials, connection } = await startBroker(() => 'answer');
    connection.subscribe('a', () => undefined);
    let isAsked = false;
    let isAnswered = false;
    // Somebody waits for an answer until the second has been heard to say so too.
    connection.regard({
      inFlight: () => {
        isAsked = true;
        return isAnswered ? 0 : 1;
      },
    });
    dials[0]!.socket.write(LAME);
    await waitFor(() => isAsked);
    const next = dials[1]!.socket;
    next.on('data', (bytes: Buffer) => (isAnswered ||= bytes.includes('PONG')));
    next.write(`${LAME}PING\r\n`);
    await waitFor(() => dials.length === 3 && connection.status === 'connected', { timeoutMs: 30_000 });
  });

  it('leaves nothing when the link is closed, whatever the move has come to', async () => {
    for (const stage of ['dialling', 'settling', 'moved'] as const) {
      const before = openHandles();
      const { dials, connection } = await startBroker((_, nth) => (nth === 2 && stage === 'dialling' ? 'drop' : 'answer'));
      connection.subscribe('a', () => undefined);
      let isAsked = false;
      let isMoved = false;
      connection.regard({
        inFlight: () => {
          isAsked = true;
          return stage === 'moved' ? 0 : 1;
        },
      });
      connection.onStatus(() => (isMoved = true));
      dials[0]!.socket.write(LAME);
      await waitFor(() => ({ dialling: dials.length === 2, settling: isAsked, moved: isMoved })[stage]);
      await connection.close();
      for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
      await assertNoLeaks(before);
    }
  });
});
