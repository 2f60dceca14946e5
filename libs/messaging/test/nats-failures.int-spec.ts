import { within } from '@diptych/kernel';
import { assertNoLeaks, freePort, openHandles, startNatsServer, waitFor } from '@diptych/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectNats } from '../src/index.js';
import { codeOf, outcomeOf, Rig } from './rig.js';

/**
 * What holds over NATS when the broker fails. Each case says what the caller gets, at once or by when, and that all works again afterwards without
 * anybody's doing.
 */
let rig: Rig;

beforeEach(async () => {
  rig = await Rig.start();
});

afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

describe('a broker that is killed', () => {
  it('makes calls in flight CONNECTION_LOST and new ones UNAVAILABLE, at once; when it is back all works, topics too', async () => {
    const { port, probe, caller, server } = await rig.served();
    const ticks: number[] = [];
    await port.ticks(({ tick }) => ticks.push(tick));
    const states: string[] = [];
    caller.onStatus((status) => states.push(status));
    const inFlight = Array.from({ length: 10 }, (_, i) => outcomeOf(port.hold({ id: String(i) }, within(60_000))));
    await waitFor(() => probe.held.size === 10);

    await rig.broker.kill();
    for (const error of inFlight) expect(await error).toMatchObject({ code: 'CONNECTION_LOST', definite: false });
    expect(caller.status).toBe('disconnected');
    expect(caller.inFlight).toBe(0);
    const startMs = performance.now();
    for (let i = 0; i < 100; i++)
      await expect(port.echo({ text: 'void' }, within(60_000))).rejects.toMatchObject({ code: 'UNAVAILABLE', definite: true });
    expect(performance.now() - startMs).toBeLessThan(20_000);
    await expect(port.ticks(() => undefined)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    probe.tick({ tick: 1 });

    await rig.broker.restart();
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
    const { port, probe, caller, server } = await rig.served();
    for (let round = 0; round < 10; round++) {
      const code = codeOf(port.hold({ id: String(round) }, within(60_000)));
      await waitFor(() => probe.held.has(String(round)));
      await rig.broker.kill();
      expect(await code).toBe('CONNECTION_LOST');
      await rig.broker.restart();
      await waitFor(() => caller.status === 'connected' && server.status === 'connected');
      expect(await codeOf(port.echo({ text: 'back' }, within(5_000)))).toBe('answered');
      probe.release(String(round));
    }
    expect(probe.listeners).toBe(1);
  });
});

describe('a broker that is stopped and holds its connections open', () => {
  it('is noticed, and healed from when it goes on', async () => {
    const { port, probe, caller, server } = await rig.served({ pingIntervalMs: 100, pingsOutMax: 3 });
    await rig.broker.kill('SIGSTOP');
    const big = { text: '', bytes: new Uint8Array(1_000_000) };
    const stuck = Array.from({ length: 32 }, () => port.echo(big, within(60_000)));
    expect(await Promise.all(stuck.map(codeOf))).toEqual(Array.from({ length: 32 }, () => 'CONNECTION_LOST'));
    expect(await codeOf(port.echo({ text: 'void' }, within(60_000)))).toBe('UNAVAILABLE');
    await waitFor(() => server.status === 'disconnected');
    expect(rig.faults.some((fault) => fault.includes('pings unanswered'))).toBe(true);
    probe.seen.length = 0;
    await rig.broker.kill('SIGCONT');
    await waitFor(() => caller.status === 'connected' && server.status === 'connected');
    expect(await codeOf(port.echo({ text: 'back' }, within(5_000)))).toBe('answered');
  });

  it('does not keep a link from closing, nor leave a socket behind', async () => {
    const before = openHandles();
    const { server, caller } = await rig.served({ pingIntervalMs: 100 });
    await rig.broker.kill('SIGSTOP');
    await waitFor(() => caller.status === 'disconnected' && server.status === 'disconnected');
    await Promise.all(rig.links.map((link) => link.close(100)));
    await assertNoLeaks(before);
    await rig.broker.kill('SIGCONT');
  });

  it('does not keep a responder draining once it counts as lost, whatever the grace', async () => {
    const { server } = await rig.served({ pingIntervalMs: 100 });
    await rig.broker.kill('SIGSTOP');
    const startMs = performance.now();
    await server.close(60_000);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    await rig.broker.kill('SIGCONT');
  });

  it('does not accept a first connection: one sentence, in time, and no socket left', async () => {
    await rig.broker.kill('SIGSTOP');
    const before = openHandles();
    await expect(rig.link({ connectTimeoutMs: 300 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(new RegExp(`^cannot reach NATS at ${rig.broker.url} within 300 ms \\(no answer`)),
    });
    await assertNoLeaks(before);
    await rig.broker.kill('SIGCONT');
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
    await rig.broker.stop();
    const connecting = rig.link({ servers: [`127.0.0.1:${await freePort()}`, rig.broker.url], connectTimeoutMs: 10_000 });
    await rig.broker.restart();
    expect((await connecting).status).toBe('connected');
  });

  it('says at once when the credentials are wrong, and shows none of them', async () => {
    const guarded = await startNatsServer({ args: ['--user', 'ann', '--pass', 'right'] });
    try {
      const wrong = connectNats({ servers: guarded.url.replace('//', '//ann:wrong@'), name: 'test', connectTimeoutMs: 60_000 });
      await expect(wrong).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringMatching(/refuses the credentials/) });
      await expect(wrong).rejects.not.toMatchObject({ message: expect.stringContaining('wrong') });
      const link = await rig.link({ servers: guarded.url.replace('//', '//ann:right@') });
      expect(link.status).toBe('connected');
    } finally {
      await guarded.stop();
    }
  });

  it('says what is missing where a broker wants an NKey, or a token', async () => {
    const nkey = 'authorization { users: [ { nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 } ] }';
    for (const [config, sentence] of [
      [nkey, /refuses the credentials: .*NKey or a JWT/],
      ['authorization { token: secret }', /refuses the credentials: .*neither user nor token/],
    ] as const) {
      await using guarded = await Rig.start({ config });
      await expect(guarded.link()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringMatching(sentence) });
    }
  });

  it.each(['nats://', 'http://[', 'wss://127.0.0.1', ''])('refuses the address "%s"', async (servers) => {
    await expect(connectNats({ servers, name: 'test' })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });
});
