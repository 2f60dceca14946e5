import { createServer, type Server, type ServerResponse } from 'node:http';
import { createServer as createSilent, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { tempDir, waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { Balancer, BALANCER_BOUNDS, BalancerProcess, whyNoBalancer, type BalancerBounds } from './balancer.js';

/** Answers with its name; ready while it says so; holds back answers while there is somebody to keep them. */
class Stub {
  ready = true;
  held: ServerResponse[] | undefined;
  readonly name: string;
  readonly server: Server;

  constructor(name: string) {
    this.name = name;
    this.server = createServer((request, response) => {
      if (request.url === '/health/ready') return void response.writeHead(this.ready ? 200 : 503).end();
      if (this.held) return void this.held.push(response);
      response.end(this.name);
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return (this.server.address() as AddressInfo).port;
  }
}

const whyNot = whyNoBalancer();
if (whyNot !== undefined) console.info(`tests of the balancer left out: ${whyNot}`);

describe.skipIf(whyNot !== undefined)('the balancer', () => {
  const ended: Array<() => Promise<unknown>> = [];
  afterEach(async () => {
    for (const end of ended.splice(0).reverse()) await end();
  });

  const started = async (spreading: 'least busy' | 'by key', names: readonly string[], bounds?: BalancerBounds) => {
    const balancer = await BalancerProcess.start(spreading, bounds);
    ended.push(() => balancer[Symbol.asyncDispose]());
    const stubs = names.map((name) => new Stub(name));
    for (const [i, stub] of stubs.entries()) {
      const port = await stub.listen();
      ended.push(async () => (stub.server.closeAllConnections(), new Promise((resolve) => stub.server.close(resolve))));
      await balancer.admit(i + 1, port);
    }
    await balancer.untilWarm();
    return { balancer, stubs };
  };
  const askFor = async (balancer: Balancer, path: string) => (await fetch(`${balancer.url}${path}`)).text();
  const paths = Array.from({ length: 60 }, (_, i) => `/v1/keys/key${i}`);

  it('spreads over those that were taken in, and gives a drained one nothing new but its time to answer', async () => {
    const { balancer, stubs } = await started('least busy', ['one', 'two']);
    const [one] = stubs;
    const answers = await Promise.all(paths.map((path) => askFor(balancer, path)));
    expect(new Set(answers)).toEqual(new Set(['one', 'two']));
    one!.held = [];
    const underWay = Promise.all(paths.map((path) => askFor(balancer, path)));
    await waitFor(() => one!.held!.length > 0, { timeoutMs: 60_000, what: 'one has a request' });
    let drained = false;
    const draining = balancer.drain(1).then(() => (drained = true));
    await waitFor(async () => (await balancer.slots()).some(({ slot, status }) => slot === 1 && status === 'DRAIN'), { timeoutMs: 60_000 });
    expect(new Set(await Promise.all(paths.map((path) => askFor(balancer, path))))).toEqual(new Set(['two']));
    expect(drained).toBe(false);
    for (const response of one!.held) response.end('one');
    expect(new Set(await underWay)).toEqual(new Set(['one', 'two']));
    await draining;
  });

  const full = async (spreading: 'least busy' | 'by key', bounds?: BalancerBounds) => {
    const { balancer, stubs } = await started(spreading, ['one', 'two'], bounds);
    for (const stub of stubs) stub.held = [];
    const asked = Array.from({ length: 300 }, (_, i) => fetch(`${balancer.url}/v1/keys/key${i}`).then(({ status }) => status));
    await waitFor(() => stubs.every(({ held }) => held!.length === 64), { timeoutMs: 60_000, what: 'both are full' });
    return { balancer, stubs, asked };
  };

  it.each(['least busy', 'by key'] as const)(
    'gives an instance 64 requests at once, %s, and the others when it has answered',
    async (spreading) => {
      const { balancer, stubs, asked } = await full(spreading, { ...BALANCER_BOUNDS, queueMsMax: 120_000 });
      await waitFor(async () => (await balancer.slots()).filter(({ current }) => current === 64).length === 2, {
        timeoutMs: 60_000,
        what: 'the balancer counts them',
      });
      for (const stub of stubs) {
        const held = stub.held!;
        stub.held = undefined;
        for (const response of held) response.end();
      }
      expect(new Set(await Promise.all(asked))).toEqual(new Set([200]));
    },
  );

  it('refuses who waits for a place for long', async () => {
    const { stubs, asked } = await full('least busy');
    let refused = 0;
    for (const each of asked) void each.then((status) => void (refused += Number(status === 503)));
    await waitFor(() => refused === 172, { timeoutMs: 60_000, what: 'who waits is refused' });
    for (const { held } of stubs) for (const response of held!) response.end();
    expect((await Promise.all(asked)).filter((status) => status === 200)).toHaveLength(128);
  });

  it('gives one that comes its share by and by, but by key at once', async () => {
    const slow = { ...BALANCER_BOUNDS, slowStartSeconds: 1 };
    const isWarm = async (spreading: 'least busy' | 'by key', bounds: BalancerBounds) => {
      const balancer = await BalancerProcess.start(spreading, bounds);
      ended.push(() => balancer[Symbol.asyncDispose]());
      const stub = new Stub('one');
      const port = await stub.listen();
      ended.push(() => new Promise((resolve) => stub.server.close(resolve)));
      await balancer.admit(1, port);
      return { balancer, warm: (await balancer.slots())[0]!.isWarm };
    };
    expect(await isWarm('by key', slow)).toMatchObject({ warm: true });
    expect(await isWarm('least busy', { ...slow, slowStartSeconds: 0 })).toMatchObject({ warm: true });
    expect(await isWarm('least busy', { ...slow, slowStartSeconds: 3_600 })).toMatchObject({ warm: false });
    await (await isWarm('least busy', slow)).balancer.untilWarm();
  });

  it('gives each key to one server, and moves only the keys of one that is no longer ready', async () => {
    const { balancer, stubs } = await started('by key', ['one', 'two', 'three']);
    const owners = async () => new Map(await Promise.all(paths.map(async (path) => [path, await askFor(balancer, path)] as const)));
    const before = await owners();
    expect(await owners()).toEqual(before);
    expect(new Set(before.values()).size).toBe(3);
    stubs[1]!.ready = false;
    await waitFor(async () => (await balancer.slots()).some(({ slot, status }) => slot === 2 && status.startsWith('DOWN')), {
      timeoutMs: 60_000,
    });
    const after = await owners();
    expect(new Set(after.values())).toEqual(new Set(['one', 'three']));
    for (const [path, owner] of before) if (owner !== 'two') expect(after.get(path)).toBe(owner);
  });
});

it('a balancer that answers without figures has not drained anybody', async () => {
  await using dir = await tempDir();
  const socket = join(dir.path, 'control.sock');
  const mute = createSilent((connection) => void connection.on('data', () => connection.end('\n')));
  await new Promise<void>((resolve) => mute.listen(socket, resolve));
  try {
    await expect(new Balancer('http://made.up', socket).slots()).rejects.toThrow('no figures');
  } finally {
    mute.close();
  }
});

it('a balancer that does not answer is given up', async () => {
  await using dir = await tempDir();
  const socket = join(dir.path, 'control.sock');
  const silent = createSilent();
  await new Promise<void>((resolve) => silent.listen(socket, resolve));
  try {
    await expect(new Balancer('http://made.up', socket, 50).slots()).rejects.toThrow(
      'haproxy: show stat edges 4 -1: no answer within 50 ms',
    );
    // And sooner where who asks has no more time.
    await expect(new Balancer('http://made.up', socket).slots(20)).rejects.toThrow('no answer within 20 ms');
  } finally {
    silent.close();
  }
});
