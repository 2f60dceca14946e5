import { within } from '@diptych/kernel';
import type { NatsServer } from '@diptych/testing';
import { freePort, startNatsServer, waitFor } from '@diptych/testing';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NatsLink, NatsOptions } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { ReplyReader, RequestReader } from '../src/nats/frame-readers.js';
import { Probe, probePort, type ProbePort } from './probe-port.js';

/** How calls share messages, and what one of them may do to its neighbours: nothing. */
let broker: NatsServer;
let plain: NatsConnection;
let links: NatsLink[];
let faults: string[];
/** How many calls, and how many replies, each message held; and how long it was. */
let requests: Array<{ count: number; bytes: number }>;
let replies: Array<{ count: number; bytes: number }>;

beforeEach(async () => {
  broker = await startNatsServer();
  plain = await connect({ servers: broker.url });
  links = [];
  faults = [];
  requests = [];
  replies = [];
});

afterEach(async () => {
  await plain.close();
  await Promise.all(links.map((link) => link.close(0)));
  await broker.stop();
});

async function link(options: Partial<NatsOptions> = {}): Promise<NatsLink> {
  const made = await connectNats({ servers: broker.url, name: 'test', onFault: (fault) => faults.push(fault.message), ...options });
  links.push(made);
  return made;
}

/** Notes all frames from now on. */
async function listen(): Promise<void> {
  const note = (message: Msg) => {
    const bytes = message.data.byteLength;
    if (message.data[0] === 0xd1) requests.push({ count: new RequestReader(message.data).count, bytes });
    if (message.data[0] === 0xd2) replies.push({ count: new ReplyReader(message.data).count, bytes });
  };
  plain.subscribe('>', { callback: (_, message) => note(message) });
  await plain.flush();
}

async function served(): Promise<{ port: ProbePort; probe: Probe }> {
  const probe = new Probe();
  await (await link()).serve(probePort, probe.port);
  return { port: (await link()).client(probePort), probe };
}

const codeOf = async (call: Promise<unknown>) =>
  call.then(
    () => 'answered',
    (error: { code: string }) => error.code,
  );

describe('calls', () => {
  it('that are ready together share frames, and so do their replies; of 64 each at most', async () => {
    await listen();
    const { port } = await served();
    const calls = Array.from({ length: 200 }, (_, i) => port.echo({ text: String(i) }, within(10_000)));
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 200 }, (_, i) => ({ text: String(i) })));
    await waitFor(() => replies.reduce((sum, { count }) => sum + count, 0) === 200);
    for (const frames of [requests, replies]) {
      expect(frames.reduce((sum, { count }) => sum + count, 0)).toBe(200);
      expect(frames.length).toBeLessThanOrEqual(20);
      expect(Math.max(...frames.map(({ count }) => count))).toBeLessThanOrEqual(64);
    }
  });

  it('that one frame answered, and whose callers call again, share the next', async () => {
    await listen();
    const { port } = await served();
    const rounds = 10;
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let i = 0; i < rounds; i++) await port.echo({ text: String(i) }, within(10_000));
      }),
    );
    await waitFor(() => requests.reduce((sum, { count }) => sum + count, 0) === 16 * rounds);
    expect(requests.length).toBeLessThanOrEqual(rounds * 1.5);
  });

  it('fill a frame up to 64 KiB, and larger ones travel alone', async () => {
    await listen();
    const { port } = await served();
    const sizes = [...Array.from({ length: 40 }, () => 5_000), 20_000, 100_000, 500_000];
    const calls = sizes.map((size) => port.echo({ text: 'x', bytes: new Uint8Array(size) }, within(10_000)));
    expect((await Promise.all(calls)).map(({ bytes }) => bytes!.byteLength)).toEqual(sizes);
    await waitFor(() => replies.reduce((sum, { count }) => sum + count, 0) === sizes.length);
    for (const frames of [requests, replies]) {
      for (const { count, bytes } of frames) expect(count === 1 || bytes <= 65_536).toBe(true);
      expect(frames.filter(({ bytes, count }) => bytes >= 20_000 && count === 1).length).toBeGreaterThanOrEqual(3);
      expect(frames.length).toBeLessThan(20);
    }
  });

  it('of any size keep their own bytes when they are made together, one behind the other, or in one another’s answers', async () => {
    const { port } = await served();
    const size = (i: number) => [100, 15_000, 17_000, 40_000, 66_000, 200_000, 300_000][i % 7]! + i;
    const echo = async (i: number) => {
      const given = { text: String(i), bytes: new Uint8Array(size(i)).fill(i) };
      expect(Buffer.compare((await port.echo(given, within(20_000))).bytes!, given.bytes)).toBe(0);
    };
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        await echo(i);
        await Promise.all([echo(i + 1), echo(i + 2)]);
        await echo(i + 3);
      }),
    );
  });

  it('do not wait for a neighbour that takes long', async () => {
    const { port, probe } = await served();
    const held = port.hold({ id: 'slow' }, within(60_000));
    expect(await port.echo({ text: 'quick' }, within(10_000))).toEqual({ text: 'quick' });
    probe.release('slow');
    expect(await held).toEqual({ id: 'slow' });
  });

  it('are not spoilt by a neighbour that is malformed, fails, is too large, is dead or has no traceparent worth the name', async () => {
    const { port, probe } = await served();
    await port.echo({ text: 'first' }, within(10_000));
    const good = (text: string) => port.echo({ text }, within(10_000));
    const codes = await Promise.all(
      [
        good('a'),
        port.echo({ text: 7 as unknown as string }, within(10_000)),
        good('b'),
        port.echo({ text: 'x'.repeat(100_001) }, within(10_000)),
        port.echo({ text: '', bytes: new Uint8Array(1_100_000) }, within(10_000)),
        port.echo({ text: () => 'no data' } as unknown as { text: string }, within(10_000)),
        port.echo({ text: 'c' }, within(10_000, { traceparent: 'é'.repeat(100) })),
        port.fail({ code: 'CONFLICT' }, within(10_000)),
        port.echo({ text: 'dead' }, within(-1)),
        good('d'),
      ].map(codeOf),
    );
    expect(codes).toEqual([
      ...['answered', 'INVALID_REQUEST', 'answered', 'INVALID_REQUEST', 'TOO_LARGE', 'INVALID_REQUEST', 'answered'],
      ...['CONFLICT', 'DEADLINE_EXCEEDED', 'answered'],
    ]);
    expect(probe.seen.map(({ text }) => text)).toEqual(['first', 'a', 'b', 'c', 'd']);
  });

  it('are cancelled one by one', async () => {
    const { port, probe } = await served();
    const controllers = Array.from({ length: 5 }, () => new AbortController());
    const calls = controllers.map(({ signal }, i) => codeOf(port.hold({ id: String(i) }, within(60_000, { signal }))));
    await waitFor(() => probe.held.size === 5);
    controllers[3]!.abort();
    expect(await calls[3]).toBe('CANCELLED');
    await waitFor(() => probe.held.get('3')!.signal!.aborted);
    for (const i of [0, 1, 2, 4]) {
      expect(probe.held.get(String(i))!.signal!.aborted).toBe(false);
      probe.release(String(i));
    }
    expect(await Promise.all(calls)).toEqual(['answered', 'answered', 'answered', 'CANCELLED', 'answered']);
  });

  it('that nobody takes are UNAVAILABLE at once, all of a frame', async () => {
    const port = (await link()).client(probePort);
    const codes = await Promise.all(Array.from({ length: 100 }, () => codeOf(port.echo({ text: '' }, within(60_000)))));
    expect(new Set(codes)).toEqual(new Set(['UNAVAILABLE']));
  });
});

describe('a frame that the other side cannot read', () => {
  it('is refused by name when it is of another version: nothing was begun', async () => {
    const { port, probe } = await served();
    await port.echo({ text: 'x' }, within(10_000));
    const frame = Uint8Array.of(0xd1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    const reply = await plain.request('diptych.probe.v1.echo', frame, { timeout: 5_000 });
    expect(reply.json()).toMatchObject({
      error: {
        code: 'INVALID_REQUEST',
        definite: true,
        message: 'the request to probe.echo is malformed: its frame is of version 2; this side reads version 1',
      },
    });
    expect(probe.seen.length).toBe(1);
  });

  it.each([
    ['refused in JSON', '{"error":{"code":"INVALID_REQUEST","message":"no","definite":true}}', 'INVALID_REQUEST'],
    ['answered with a frame of another version', Uint8Array.of(0xd2, 2, 0, 1), 'INTERNAL'],
    ['answered with a frame that ends too soon', Uint8Array.of(0xd2, 1, 0, 9), 'INTERNAL'],
  ])('and is %s ends all its calls, long before their deadline', async (_, answer, code) => {
    plain.subscribe('diptych.probe.v1.echo', { callback: (_, message) => void message.respond(answer) });
    await plain.flush();
    const caller = await link();
    const port = caller.client(probePort);
    const codes = await Promise.all(Array.from({ length: 5 }, () => codeOf(port.echo({ text: '' }, within(60_000)))));
    expect(codes).toEqual(Array.from({ length: 5 }, () => code));
    expect(caller.inFlight).toBe(0);
  });
});

describe('bounds', () => {
  it('hold for what waits for a broker that takes nothing', async () => {
    const probe = new Probe();
    const server = await link({ bounds: { inFlightBytesMax: 1_000_000 }, pingIntervalMs: 60_000 });
    await server.serve(probePort, probe.port);
    const port = server.client(probePort);
    await broker.kill('SIGSTOP');
    // What the sockets of the machine take is not ours to bound: some megabytes.
    for (let tick = 0; tick < 400; tick++) {
      probe.tick({ tick, bytes: new Uint8Array(100_000) });
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(faults.filter((fault) => fault.includes('the broker takes too little')).length).toBeGreaterThan(100);
    await expect(port.echo({ text: '' }, within(60_000))).rejects.toMatchObject({ code: 'OVERLOADED', definite: true, retryAfterMs: 100 });
    await broker.kill('SIGCONT');
    await waitFor(async () => (await codeOf(port.echo({ text: 'back' }, within(5_000)))) === 'answered');
  });

  it('hold for the bytes that are worked on', async () => {
    const probe = new Probe();
    await (await link({ bounds: { inFlightBytesMax: 1_000 } })).serve(probePort, probe.port);
    const port = (await link()).client(probePort);
    const first = port.hold({ id: 'x'.repeat(900) }, within(60_000));
    await waitFor(() => probe.held.size === 1);
    expect(await codeOf(port.hold({ id: 'y'.repeat(200) }, within(10_000)))).toBe('OVERLOADED');
    probe.release('x'.repeat(900));
    await first;
    expect(await codeOf(port.echo({ text: 'z'.repeat(5_000) }, within(10_000)))).toBe('answered');
  });
});

it('a broker of the cluster that nobody named is found when the one that was named goes', async () => {
  const route = await freePort();
  const cluster = (own: number, ...more: string[]) => ['--cluster_name', 'test', '--cluster', `nats://127.0.0.1:${own}`, ...more];
  const named = await startNatsServer({ args: cluster(route) });
  const other = await startNatsServer({ args: cluster(await freePort(), '--routes', `nats://127.0.0.1:${route}`) });
  try {
    const watcher = await connect({ servers: named.url });
    await waitFor(() => (watcher.info?.connect_urls ?? []).length >= 2);
    await watcher.close();
    const caller = await link({ servers: named.url });
    const states: string[] = [];
    caller.onStatus((status) => states.push(status));
    await named.kill();
    await waitFor(() => states.length === 2);
    expect(states).toEqual(['disconnected', 'connected']);
  } finally {
    await Promise.all(links.splice(0).map((each) => each.close(0)));
    await other.stop();
    await named.stop();
  }
});
