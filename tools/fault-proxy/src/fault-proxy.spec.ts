import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { FakeClock } from '@diptych/kernel/testing';
import { assertNoLeaks, openHandles, seededRandom, seedFromEnv, waitFor } from '@diptych/testing';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bothWays, FaultProxy, PARTITION, type FaultProxyOptions, type Faults } from './index.js';

/*
 * Each fault is measured against what was asked for: exactly on a clock of the test's own, and from below on the real one, where a busy
 * machine can make things later and nothing can make them sooner.
 */
let before: ReturnType<typeof openHandles>;
const cleanUps: Array<() => Promise<unknown>> = [];

beforeEach(() => void (before = openHandles()));
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  await assertNoLeaks(before);
});

/** A server that keeps what it receives, and the sockets it received it on; behind a proxy. */
async function start(options: Omit<FaultProxyOptions, 'upstream'> & { echo?: boolean } = {}) {
  const { echo = false, ...rest } = options;
  const sockets: Received[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(new Received(socket));
    if (echo) socket.pipe(socket);
  });
  const port = await listening(server);
  cleanUps.push(async () => {
    for (const { socket } of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  const proxy = await FaultProxy.listen({ ...rest, upstream: { host: '127.0.0.1', port } });
  cleanUps.push(() => proxy.close());
  return { proxy, server, sockets };
}

/** One end of a connection, with all that came and how it ended. */
class Received {
  readonly socket: Socket;
  bytes = Buffer.alloc(0);
  ended = false;
  errno: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => (this.bytes = Buffer.concat([this.bytes, bytes])));
    socket.on('end', () => (this.ended = true));
    socket.on('error', (error: NodeJS.ErrnoException) => (this.errno = error.code));
  }
}

/** @throws the error of the connection that was not made. One that was made and reset at once has that as its `errno`. */
async function dial(port: number): Promise<Received> {
  const client = new Received(connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true }));
  cleanUps.push(async () => client.socket.destroy());
  await once(client.socket, 'connect').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ECONNRESET') throw error;
  });
  return client;
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function roundTripMs(client: Received): Promise<number> {
  const bytes = client.bytes.length;
  const beganMs = performance.now();
  client.socket.write('x');
  await waitFor(() => client.bytes.length > bytes, { pollMs: 1, what: 'the echo' });
  return performance.now() - beganMs;
}

describe('a plain wire', () => {
  it('carries any bytes in any pieces unchanged both ways, and each end by itself', async () => {
    const { proxy } = await start({ echo: true, heldBytesMax: 10_000 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 50_000 }), { maxLength: 8 }), async (pieces) => {
        const client = await dial(proxy.port);
        for (const piece of pieces) client.socket.write(piece);
        client.socket.end();
        await waitFor(() => client.ended, { what: 'the end comes back' });
        expect(client.bytes.equals(Buffer.concat(pieces))).toBe(true);
      }),
      { numRuns: 25, seed: seedFromEnv() },
    );
    const { toUpstream, toClient, accepted } = await proxy.tally();
    expect(accepted).toBe(25);
    expect(toUpstream.bytesOut).toBe(toUpstream.bytesIn);
    expect(toClient).toMatchObject({ bytesIn: toUpstream.bytesOut, bytesOut: toUpstream.bytesOut, heldBytes: 0 });
    await waitFor(async () => (await proxy.tally()).open === 0, { what: 'no connection is left' });
  });

  it('hands on a reset as a reset, in both directions', async () => {
    const { proxy, sockets } = await start();
    const first = await dial(proxy.port);
    await waitFor(() => sockets.length === 1);
    first.socket.resetAndDestroy();
    await waitFor(() => sockets[0]!.errno === 'ECONNRESET', { what: 'the server sees the reset' });
    const second = await dial(proxy.port);
    await waitFor(() => sockets.length === 2);
    sockets[1]!.socket.resetAndDestroy();
    await waitFor(() => second.errno === 'ECONNRESET', { what: 'the client sees the reset' });
  });

  it('tells a client whose upstream is not there by a reset', async () => {
    const { proxy, server } = await start();
    server.close();
    await once(server, 'close');
    server.listen(0, '127.0.0.1'); // elsewhere, so that the clean-up finds it open
    const client = await dial(proxy.port);
    await waitFor(() => client.errno === 'ECONNRESET', { what: 'the reset' });
    expect((await proxy.tally()).unreachable).toBe(1);
  });

  it('does not let a slow reader fill the memory: the sender waits', async () => {
    const { proxy, sockets } = await start({ heldBytesMax: 100_000 });
    const client = await dial(proxy.port);
    await waitFor(() => sockets.length === 1);
    sockets[0]!.socket.pause();
    const total = 64 * 1024 * 1024;
    const sent = Buffer.alloc(total, 'y');
    client.socket.write(sent);
    // What the kernels hold is theirs; when nothing moves any more, the proxy holds what it may.
    let passed = -1;
    await waitFor(async () => passed === (passed = (await proxy.tally()).toUpstream.bytesIn), { pollMs: 200, timeoutMs: 30_000 });
    const { toUpstream } = await proxy.tally();
    expect(toUpstream.bytesIn).toBeLessThan(total);
    expect(toUpstream.heldBytes).toBeLessThanOrEqual(100_000 + 65_536);
    sockets[0]!.socket.destroy();
    await waitFor(() => client.errno !== undefined, { what: 'the sender hears of it' });
  });
});

describe('a late wire', () => {
  it('is late by what was asked for, exactly, and keeps the order under any jitter', async () => {
    const seed = seedFromEnv();
    const random = seededRandom(seed);
    for (let round = 0; round < 10; round++) {
      const clock = new FakeClock();
      const latencyMs = Math.round(random() * 500);
      const jitterMs = Math.round(random() * 200);
      const { proxy, sockets } = await start({ clock, seed: seed + round, faults: { toUpstream: { latencyMs, jitterMs } } });
      const client = await dial(proxy.port);
      let expected = '';
      for (let i = 0; i < 20; i++) {
        client.socket.write(`${i},`);
        expected += `${i},`;
        await waitFor(async () => (await proxy.tally()).toUpstream.bytesIn === expected.length, { pollMs: 1 });
        await clock.advanceAsync(random() * 30);
      }
      await clock.advanceAsync(latencyMs + jitterMs);
      await waitFor(() => sockets[0]?.bytes.toString() === expected, { what: 'all is there, in order' });
      const { toUpstream } = await proxy.tally();
      expect(toUpstream.delayMsMin).toBeGreaterThanOrEqual(latencyMs);
      expect(toUpstream.delayMsMax).toBeLessThanOrEqual(latencyMs + jitterMs + 1e-9);
      if (jitterMs > 50) expect(toUpstream.delayMsMax - toUpstream.delayMsMin, `seed ${seed}`).toBeGreaterThan(jitterMs / 10);
      expect(clock.pending).toBe(0);
    }
  });

  it('delays a round trip on a real clock by both directions, never less, and is quick again when it is taken back', async () => {
    const { proxy } = await start({ echo: true });
    const client = await dial(proxy.port);
    const trips = async () => {
      const times: number[] = [];
      for (let i = 0; i < 8; i++) times.push(await roundTripMs(client));
      return Math.min(...times);
    };
    const plainMs = await trips();
    await proxy.setFaults(bothWays({ latencyMs: 40 }));
    const lateMs = await trips();
    expect(lateMs).toBeGreaterThanOrEqual(80);
    expect(lateMs).toBeLessThan(80 + plainMs + 100);
    expect((await proxy.tally()).toClient.delayMsMin).toBeGreaterThanOrEqual(40);
    await proxy.setFaults({});
    expect(await trips()).toBeLessThan(40);
  });

  it('lets go at once of what it holds when the fault is taken back', async () => {
    const clock = new FakeClock();
    const { proxy, sockets } = await start({ clock, faults: { toUpstream: { latencyMs: 1e5 } } });
    const client = await dial(proxy.port);
    client.socket.write('early');
    await waitFor(async () => (await proxy.tally()).toUpstream.heldBytes === 5);
    await proxy.setFaults({});
    await waitFor(() => sockets[0]?.bytes.toString() === 'early');
  });
});

describe('a thin wire', () => {
  it('carries what was asked for: no sooner, and on a punctual clock no later', async () => {
    for (const bytesPerSecond of [1, 333, 100_000, 7_000_000]) {
      const clock = new FakeClock();
      const { proxy, sockets } = await start({ clock, faults: { toUpstream: { bytesPerSecond } } });
      const client = await dial(proxy.port);
      const total = Math.min(bytesPerSecond * 2, 60_000);
      client.socket.write(Buffer.alloc(total));
      await waitFor(async () => (await proxy.tally()).toUpstream.bytesIn === total);
      const wantedMs = (total / bytesPerSecond) * 1000;
      await clock.advanceAsync(wantedMs * 0.98);
      expect((await proxy.tally()).toUpstream.bytesOut).toBeLessThan(total);
      expect((await proxy.tally()).toUpstream.bytesOut).toBeGreaterThanOrEqual(total > 100 ? total * 0.9 - 16_384 : 0);
      await clock.advanceAsync(wantedMs * 0.02 + 10);
      await waitFor(() => sockets[0]?.bytes.length === total);
    }
  });

  it('takes no less time than that on a real clock', async () => {
    const { proxy, sockets } = await start({ faults: { toUpstream: { bytesPerSecond: 200_000 } } });
    const client = await dial(proxy.port);
    const beganMs = performance.now();
    client.socket.write(Buffer.alloc(60_000));
    await waitFor(() => sockets[0]?.bytes.length === 60_000);
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(300 - 1);
  });
});

describe('a blackhole', () => {
  it('lets nothing through, not even an end, and loses nothing', async () => {
    const { proxy, sockets } = await start({ echo: true });
    const client = await dial(proxy.port);
    client.socket.write('before');
    await waitFor(() => client.bytes.toString() === 'before');
    await proxy.setFaults(PARTITION);
    client.socket.write(' during');
    client.socket.end();
    await waitFor(async () => (await proxy.tally()).toUpstream.heldBytes === 7);
    expect(sockets[0]!.bytes.toString()).toBe('before');
    await proxy.setFaults({});
    await waitFor(() => client.ended);
    expect(client.bytes.toString()).toBe('before during');
  });

  it('in one direction leaves the other as it is', async () => {
    const { proxy, sockets } = await start({ echo: true });
    const client = await dial(proxy.port);
    await waitFor(() => sockets.length === 1);
    await proxy.setFaults({ toClient: { blackhole: true } });
    client.socket.write('heard');
    await waitFor(() => sockets[0]!.bytes.toString() === 'heard');
    await waitFor(async () => (await proxy.tally()).toClient.heldBytes === 5);
    expect(client.bytes.length).toBe(0);
  });

  it('makes no connection upstream until it is over', async () => {
    const { proxy, sockets } = await start({ faults: PARTITION });
    const client = await dial(proxy.port);
    client.socket.write('patience');
    await waitFor(async () => (await proxy.tally()).open === 1);
    expect(sockets.length).toBe(0);
    await proxy.setFaults({});
    await waitFor(() => sockets[0]?.bytes.toString() === 'patience');
  });
});

describe('a broken wire', () => {
  it.each(['toUpstream', 'toClient'] as const)('is cut after so many bytes %s, exactly', async (direction) => {
    const seed = seedFromEnv();
    const random = seededRandom(seed);
    for (const cutAfterBytes of [0, 1, 1 + Math.floor(random() * 200_000)]) {
      const { proxy, sockets } = await start({ faults: { [direction]: { cutAfterBytes } } });
      const client = await dial(proxy.port);
      await waitFor(() => cutAfterBytes === 0 || sockets.length === 1);
      const [sender, receiver] = direction === 'toUpstream' ? [client, sockets[0]] : [sockets[0], client];
      sender?.socket.write(Buffer.alloc(250_000));
      if (receiver) await waitFor(() => receiver.ended || receiver.errno !== undefined, { what: 'the receiver sees the end' });
      if (receiver && cutAfterBytes > 0) expect([receiver.bytes.length, receiver.errno]).toEqual([cutAfterBytes, undefined]);
      if (sender) await waitFor(() => sender.errno !== undefined, { what: 'the sender sees the reset' });
      await waitFor(async () => (await proxy.tally()).cut === 1);
    }
  });

  it('resets what is open when told to, and says how much that was', async () => {
    const { proxy, sockets } = await start();
    const clients = [await dial(proxy.port), await dial(proxy.port)];
    await waitFor(() => sockets.length === 2);
    expect(await proxy.reset()).toBe(2);
    for (const end of [...clients, ...sockets]) await waitFor(() => end.errno === 'ECONNRESET');
    const next = await dial(proxy.port);
    await waitFor(() => sockets.length === 3);
    expect(next.errno).toBeUndefined();
    expect(await proxy.tally()).toMatchObject({ reset: 2, accepted: 3 });
  });

  it('refuses or resets new connections, keeps those there are, and listens at the same port again', async () => {
    const { proxy } = await start({ echo: true });
    const client = await dial(proxy.port);
    await roundTripMs(client);
    await proxy.setFaults({ connect: 'refuse' });
    await expect(dial(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await roundTripMs(client);
    const { port } = proxy;
    await proxy.setFaults({ connect: 'reset' });
    expect(proxy.port).toBe(port);
    const turnedAway = await dial(port);
    await waitFor(() => turnedAway.errno === 'ECONNRESET');
    await proxy.setFaults({});
    await roundTripMs(await dial(port));
    await roundTripMs(client);
  });

  it('turns away more connections than it may have', async () => {
    const { proxy } = await start({ connectionsMax: 1 });
    await dial(proxy.port);
    await waitFor(async () => (await proxy.tally()).open === 1);
    const second = await dial(proxy.port);
    await waitFor(() => second.errno === 'ECONNRESET');
    expect((await proxy.tally()).turnedAway).toBe(1);
  });
});

describe('what is asked for', () => {
  it('is refused when it is no fault, and what held before holds on', async () => {
    const { proxy } = await start({ faults: { toUpstream: { latencyMs: 5 } } });
    for (const wrong of [{ latency: 5 }, { toUpstream: { latencyMs: -1 } }, { connect: 'maybe' }, { toClient: { bytesPerSecond: 0 } }])
      await expect(proxy.setFaults(wrong as Faults)).rejects.toThrow(TypeError);
    expect(proxy.faults).toEqual({ toUpstream: { latencyMs: 5 } });
  });

  it('is refused after the end, which may be asked for twice', async () => {
    const { proxy } = await start();
    await Promise.all([proxy.close(), proxy.close()]);
    await expect(proxy.setFaults({})).rejects.toThrow('closed');
    await expect(dial(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('holds after changes all at once as the last of them says', async () => {
    const { proxy } = await start();
    await Promise.all([proxy.setFaults({ connect: 'refuse' }), proxy.setFaults({}), proxy.setFaults({ connect: 'refuse' })]);
    await expect(dial(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
