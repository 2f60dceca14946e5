import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { within } from '@diptych/kernel';
import type { NatsServer, RunningProcess } from '@diptych/testing';
import { assertNoLeaks, freePort, openHandles, startNatsServer, startProcess, tempDir, waitFor } from '@diptych/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NatsLink, NatsOptions } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { Probe, probePort, type ProbePort } from './probe-port.js';

/**
 * What holds over NATS when the broker, the server or the caller fails. Each case says what the caller gets, at once or by when, and that all
 * works again afterwards without anybody's doing.
 */
let broker: NatsServer;
let links: NatsLink[];
let faults: string[];

beforeEach(async () => {
  broker = await startNatsServer();
  links = [];
  faults = [];
});

afterEach(async () => {
  await Promise.all(links.map((link) => link.close(0)));
  await broker.stop();
});

async function connect(options: Partial<NatsOptions> = {}): Promise<NatsLink> {
  const onFault = (fault: Error) => faults.push(fault.message);
  const link = await connectNats({ servers: broker.url, name: 'test', onFault, ...options });
  links.push(link);
  return link;
}

async function served(options: Partial<NatsOptions> = {}): Promise<{ port: ProbePort; probe: Probe; caller: NatsLink; server: NatsLink }> {
  const server = await connect(options);
  const caller = await connect(options);
  const probe = new Probe();
  await server.serve(probePort, probe.port);
  return { port: caller.client(probePort), probe, caller, server };
}

/** Waits for the call's end from now on, so that no rejection is ever without a handler. */
const errorOf = async (call: Promise<unknown>) =>
  call.then(
    () => ({ code: 'answered' }),
    (error: { code: string }) => error,
  );
const codeOf = async (call: Promise<unknown>) => (await errorOf(call)).code;

describe('a broker that is killed', () => {
  it('makes calls in flight CONNECTION_LOST and new ones UNAVAILABLE, at once; when it is back all works, topics too', async () => {
    const { port, probe, caller, server } = await served();
    const ticks: number[] = [];
    await port.ticks(({ tick }) => ticks.push(tick));
    const states: string[] = [];
    caller.onStatus((status) => states.push(status));
    const inFlight = Array.from({ length: 10 }, (_, i) => errorOf(port.hold({ id: String(i) }, within(60_000))));
    await waitFor(() => probe.held.size === 10);

    await broker.kill();
    for (const error of inFlight) expect(await error).toMatchObject({ code: 'CONNECTION_LOST', definite: false });
    expect(caller.status).toBe('disconnected');
    expect(caller.inFlight).toBe(0);
    const startMs = performance.now();
    for (let i = 0; i < 100; i++)
      await expect(port.echo({ text: 'void' }, within(60_000))).rejects.toMatchObject({ code: 'UNAVAILABLE', definite: true });
    expect(performance.now() - startMs).toBeLessThan(1_000);
    await expect(port.ticks(() => undefined)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    probe.tick({ tick: 1 });

    await broker.restart();
    await waitFor(() => caller.status === 'connected' && server.status === 'connected');
    expect(await port.echo({ text: 'back' }, within(5_000))).toEqual({ text: 'back' });
    // Nothing that was called or published meanwhile comes out of a buffer.
    expect(probe.seen.map(({ text }) => text)).toEqual(['back']);
    probe.tick({ tick: 2 });
    await waitFor(() => ticks.length > 0);
    expect(ticks).toEqual([2]);
    expect(states).toEqual(['disconnected', 'connected']);
  });

  it('is survived ten times in a row', async () => {
    const { port, probe, caller, server } = await served();
    for (let round = 0; round < 10; round++) {
      const code = codeOf(port.hold({ id: String(round) }, within(60_000)));
      await waitFor(() => probe.held.has(String(round)));
      await broker.kill();
      expect(await code).toBe('CONNECTION_LOST');
      await broker.restart();
      await waitFor(() => caller.status === 'connected' && server.status === 'connected');
      expect(await codeOf(port.echo({ text: 'back' }, within(5_000)))).toBe('answered');
      probe.release(String(round));
    }
    expect(probe.listeners).toBe(1);
  });
});

describe('a broker that is stopped and holds its connections open', () => {
  it('is noticed, and healed from when it goes on', async () => {
    const { port, probe, caller, server } = await served({ pingIntervalMs: 100, pingsOutMax: 3 });
    await broker.kill('SIGSTOP');
    const big = { text: '', bytes: new Uint8Array(1_000_000) };
    const stuck = Array.from({ length: 32 }, () => port.echo(big, within(60_000)));
    expect(await Promise.all(stuck.map(codeOf))).toEqual(Array.from({ length: 32 }, () => 'CONNECTION_LOST'));
    expect(await codeOf(port.echo({ text: 'void' }, within(60_000)))).toBe('UNAVAILABLE');
    await waitFor(() => server.status === 'disconnected');
    expect(faults.some((fault) => fault.includes('pings unanswered'))).toBe(true);
    probe.seen.length = 0;
    await broker.kill('SIGCONT');
    await waitFor(() => caller.status === 'connected' && server.status === 'connected');
    expect(await codeOf(port.echo({ text: 'back' }, within(5_000)))).toBe('answered');
  });

  it('does not keep a link from closing, nor leave a socket behind', async () => {
    const before = openHandles();
    const { server, caller } = await served({ pingIntervalMs: 100 });
    await broker.kill('SIGSTOP');
    await waitFor(() => caller.status === 'disconnected' && server.status === 'disconnected');
    await Promise.all(links.map((link) => link.close(100)));
    await assertNoLeaks(before);
    await broker.kill('SIGCONT');
  });

  it('does not keep a responder draining once it counts as lost, whatever the grace', async () => {
    const { server } = await served({ pingIntervalMs: 100 });
    await broker.kill('SIGSTOP');
    const startMs = performance.now();
    await server.close(60_000);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    await broker.kill('SIGCONT');
  });

  it('does not accept a first connection: one sentence, in time, and no socket left', async () => {
    await broker.kill('SIGSTOP');
    const before = openHandles();
    await expect(connect({ connectTimeoutMs: 300 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(new RegExp(`^cannot reach NATS at ${broker.url} within 300 ms \\(no answer`)),
    });
    await assertNoLeaks(before);
    await broker.kill('SIGCONT');
  });
});

describe('connecting', () => {
  it('fails within its time with one sentence when nobody listens', async () => {
    const port = await freePort();
    const before = openHandles();
    await expect(connectNats({ servers: `127.0.0.1:${port}`, name: 'test', connectTimeoutMs: 200 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `cannot reach NATS at nats://127.0.0.1:${port} within 200 ms (connection refused); start nats-server there, or correct the address`,
    });
    await assertNoLeaks(before);
  });

  it('waits for a broker that starts a little later, and takes the one that answers', async () => {
    await broker.stop();
    const connecting = connect({ servers: [`127.0.0.1:${await freePort()}`, broker.url], connectTimeoutMs: 10_000 });
    await broker.restart();
    expect((await connecting).status).toBe('connected');
  });

  it('says at once when the credentials are wrong, and shows none of them', async () => {
    const guarded = await startNatsServer({ args: ['--user', 'ann', '--pass', 'right'] });
    try {
      const wrong = connectNats({ servers: guarded.url.replace('//', '//ann:wrong@'), name: 'test', connectTimeoutMs: 60_000 });
      await expect(wrong).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringMatching(/refuses the credentials/) });
      await expect(wrong).rejects.not.toMatchObject({ message: expect.stringContaining('wrong') });
      const link = await connect({ servers: guarded.url.replace('//', '//ann:right@') });
      expect(link.status).toBe('connected');
    } finally {
      await guarded.stop();
    }
  });

  it.each(['nats://', 'http://[', ''])('refuses the address "%s"', async (servers) => {
    await expect(connectNats({ servers, name: 'test' })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });
});

describe('bounds', () => {
  it('hold at the server too, whatever its callers allow themselves', async () => {
    const server = await connect({ bounds: { inFlightMax: 2 } });
    const probe = new Probe();
    const responder = await server.serve(probePort, probe.port);
    const port = (await connect()).client(probePort);
    const calls = ['a', 'b'].map((id) => port.hold({ id }, within(60_000)));
    await waitFor(() => probe.held.size === 2);
    expect(responder.inFlight).toBe(2);
    await expect(port.hold({ id: 'c' }, within(60_000))).rejects.toMatchObject({ code: 'OVERLOADED', definite: true, retryAfterMs: 100 });
    for (const id of ['a', 'b']) probe.release(id);
    await Promise.all(calls);
    expect(responder.inFlight).toBe(0);
  });

  it('hold for the bytes in flight', async () => {
    const { port } = await served({ bounds: { inFlightBytesMax: 1_000_000 } });
    const big = { text: '', bytes: new Uint8Array(600_000) };
    const first = codeOf(port.echo(big, within(5_000)));
    await expect(port.echo(big, within(5_000))).rejects.toMatchObject({ code: 'OVERLOADED', definite: true });
    expect(await first).toBe('answered');
    expect(await codeOf(port.echo(big, within(5_000)))).toBe('answered');
  });

  it('hold for the bytes of each method by itself', async () => {
    const { port, probe } = await served({ bounds: { inFlightBytesMax: 1_000 } });
    const call = port.hold({ id: 'x'.repeat(900) }, within(60_000));
    await waitFor(() => probe.held.size === 1);
    expect(await codeOf(port.hold({ id: 'y'.repeat(200) }, within(5_000)))).toBe('OVERLOADED');
    expect(await codeOf(port.echo({ text: 'z'.repeat(200) }, within(5_000)))).toBe('answered');
    probe.release('x'.repeat(900));
    await call;
  });

  it('follow the broker when it allows less', async () => {
    await using dir = await tempDir();
    const config = join(dir.path, 'nats.conf');
    await writeFile(config, 'max_payload: 10000');
    const small = await startNatsServer({ args: ['-c', config] });
    try {
      const { port } = await served({ servers: small.url });
      await expect(port.echo({ text: 'x'.repeat(10_000) }, within(5_000))).rejects.toMatchObject({ code: 'TOO_LARGE', definite: true });
      await expect(port.produce({ bytes: 10_000 }, within(5_000))).rejects.toMatchObject({ code: 'INTERNAL' });
      expect(await codeOf(port.echo({ text: 'x'.repeat(9_700) }, within(5_000)))).toBe('answered');
    } finally {
      await Promise.all(links.splice(0).map((link) => link.close(0)));
      await small.stop();
    }
  });
});

describe('servers', () => {
  it('nobody serves: UNAVAILABLE at once', async () => {
    const caller = await connect();
    await expect(caller.client(probePort).echo({ text: '' }, within(60_000))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      definite: true,
      message: 'nobody serves probe.echo at the moment',
    });
    expect(caller.inFlight).toBe(0);
  });

  it('share the calls of one port', async () => {
    const { port, probe, caller } = await served();
    const other = new Probe();
    await (await connect()).serve(probePort, other.port);
    await waitFor(() => caller.routing.members === 2);
    await Promise.all(Array.from({ length: 200 }, (_, i) => port.echo({ text: String(i) }, within(5_000))));
    expect(probe.seen.length + other.seen.length).toBe(200);
    expect(Math.min(probe.seen.length, other.seen.length)).toBeGreaterThan(40);
  });

  it('drain under load without losing a call', async () => {
    const { port, probe } = await served();
    let running = true;
    let answered = 0;
    const failures: string[] = [];
    const load = Array.from({ length: 32 }, async () => {
      while (running) {
        const code = await codeOf(port.echo({ text: 'x' }, within(10_000)));
        if (code === 'answered') answered++;
        else failures.push(code);
      }
    });
    for (let round = 0; round < 20; round++) {
      const next = new Probe();
      const responder = await (await connect()).serve(probePort, next.port);
      const sofar = answered;
      await waitFor(() => answered > sofar + 50 && next.seen.length > 5);
      await responder.drain(5_000);
      expect(responder.inFlight).toBe(0);
      const seen = next.seen.length;
      const atDrain = answered;
      await waitFor(() => answered > atDrain + 50);
      expect(next.seen.length).toBe(seen);
    }
    running = false;
    await Promise.all(load);
    expect(failures).toEqual([]);
    expect(probe.seen.length).toBeGreaterThan(0);
  });

  it('answer what they have accepted before they end, and refuse the rest', async () => {
    const { port, probe, server } = await served();
    const ticks: number[] = [];
    await port.ticks(({ tick }) => ticks.push(tick));
    const call = port.hold({ id: 'slow' }, within(60_000));
    await waitFor(() => probe.held.size === 1);
    const closed = server.close(60_000);
    await waitFor(async () => (await codeOf(port.echo({ text: 'late' }, within(5_000)))) === 'UNAVAILABLE');
    probe.tick({ tick: 1 });
    probe.release('slow');
    expect(await call).toEqual({ id: 'slow' });
    await closed;
    expect(probe.listeners).toBe(0);
    await waitFor(() => ticks.length === 1);
  });

  it('end within their grace time, and say of the unfinished that it may have happened', async () => {
    const { port, probe, server } = await served();
    const call = port.hold({ id: 'endless' }, within(60_000));
    const outcome = expect(call).rejects.toMatchObject({ code: 'CONNECTION_LOST', definite: false });
    const context = await waitFor(() => probe.held.get('endless'));
    const startMs = performance.now();
    await server.close(100);
    expect(performance.now() - startMs).toBeLessThan(1_000);
    await outcome;
    expect(context.signal!.aborted).toBe(true);
  });

  it('are not waited for once nobody waits for their answers', async () => {
    const { port, probe, server } = await served();
    const controller = new AbortController();
    const cancelled = codeOf(port.hold({ id: 'cancelled' }, within(60_000, { signal: controller.signal })));
    const expired = codeOf(port.hold({ id: 'expired' }, within(200)));
    await waitFor(() => probe.held.size === 2);
    controller.abort();
    expect(await cancelled).toBe('CANCELLED');
    expect(await expired).toBe('DEADLINE_EXCEEDED');
    const startMs = performance.now();
    await server.close(30_000);
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });
});

describe('a server process', () => {
  let child: RunningProcess;

  beforeEach(async () => {
    child = await startProcess({
      command: process.execPath,
      args: ['--import', 'tsx', '--conditions=@diptych/source', new URL('probe-server.ts', import.meta.url).pathname, broker.url],
      cwd: new URL('..', import.meta.url).pathname,
      env: { ...process.env, TSX_TSCONFIG_PATH: new URL('../../../tsconfig.base.json', import.meta.url).pathname },
      name: 'probe-server',
      ready: /serving/,
    });
  });

  afterEach(async () => {
    await child.stop();
  });

  it('that was stopped does not run what is dead by the time it goes on, whatever the clocks of the two say', async () => {
    const port = (await connect()).client(probePort);
    for (let i = 0; i < 20; i++) await port.echo({ text: `early ${i}` }, within(5_000));
    await child.kill('SIGSTOP');
    const dead = Array.from({ length: 20 }, (_, i) => codeOf(port.echo({ text: `dead ${i}` }, within(300))));
    expect(new Set(await Promise.all(dead))).toEqual(new Set(['DEADLINE_EXCEEDED']));
    const alive = port.echo({ text: 'alive' }, within(60_000));
    await child.kill('SIGCONT');
    expect(await alive).toEqual({ text: 'alive' });
    await port.echo({ text: 'last' }, within(5_000));
    await waitFor(() => child.stdout.includes('ran last'));
    expect(child.stdout.match(/ran .*/g)!.slice(20)).toEqual(['ran alive', 'ran last']);
  });

  it('that is killed makes what it had CONNECTION_LOST, long before its deadline, and the rest UNAVAILABLE', async () => {
    const caller = await connect();
    const port = caller.client(probePort);
    await waitFor(() => caller.routing.members === 1);
    const code = codeOf(port.hold({ id: 'x' }, within(60_000)));
    await port.echo({ text: 'there' }, within(5_000));
    await child.kill();
    expect(await code).toBe('CONNECTION_LOST');
    expect(await codeOf(port.echo({ text: '' }, within(60_000)))).toBe('UNAVAILABLE');
  });

  it('that closes its link ends by itself: nothing is left open', async () => {
    const port = (await connect()).client(probePort);
    await port.echo({ text: 'there' }, within(5_000));
    expect(await child.stop(10_000)).toEqual({ code: 0, signal: null });
  });
});

it('a closed link leaves nothing open, and says so to whoever still calls', async () => {
  const before = openHandles();
  const { port, probe, caller, server } = await served();
  await port.ticks(() => undefined);
  await port.echo({ text: '' }, within(5_000));
  const code = codeOf(port.hold({ id: 'x' }, within(60_000)));
  await waitFor(() => probe.held.size === 1);
  await caller.close(0);
  expect(await code).toBe('CONNECTION_LOST');
  expect(await codeOf(port.echo({ text: '' }, within(60_000)))).toBe('UNAVAILABLE');
  await expect(caller.serve(probePort, probe.port)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: /closed/ });
  await Promise.all([server.close(0), server.close(0), caller.close(0)]);
  expect([caller.status, server.status]).toEqual(['closed', 'closed']);
  await assertNoLeaks(before);
});
