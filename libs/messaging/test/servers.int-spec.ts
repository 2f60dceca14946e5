import { within } from '@diptych/kernel';
import type { RunningProcess } from '@diptych/testing';
import { fromSource, startProcess, waitFor } from '@diptych/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Probe, probePort } from './probe-port.js';
import { codeOf, Rig } from './rig.js';

/** What holds over NATS when servers come and go, are overrun, stopped or killed. */
let rig: Rig;

beforeEach(async () => {
  rig = await Rig.start();
});

afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

describe('bounds', () => {
  it('hold at the server too, whatever its callers allow themselves', async () => {
    const server = await rig.link({ bounds: { inFlightMax: 2 } });
    const probe = new Probe();
    const responder = await server.serve(probePort, probe.port);
    const port = (await rig.link()).client(probePort);
    const calls = ['a', 'b'].map((id) => port.hold({ id }, within(60_000)));
    await waitFor(() => probe.held.size === 2);
    expect(responder.inFlight).toBe(2);
    await expect(port.hold({ id: 'c' }, within(60_000))).rejects.toMatchObject({ code: 'OVERLOADED', definite: true, retryAfterMs: 100 });
    for (const id of ['a', 'b']) probe.release(id);
    await Promise.all(calls);
    expect(responder.inFlight).toBe(0);
  });

  it('hold for the bytes in flight', async () => {
    const { port } = await rig.served({ bounds: { inFlightBytesMax: 1_000_000 } });
    const big = { text: '', bytes: new Uint8Array(600_000) };
    const first = codeOf(port.echo(big, within(5_000)));
    await expect(port.echo(big, within(5_000))).rejects.toMatchObject({ code: 'OVERLOADED', definite: true });
    expect(await first).toBe('answered');
    expect(await codeOf(port.echo(big, within(5_000)))).toBe('answered');
  });

  it('hold for the bytes of each method by itself', async () => {
    const { port, probe } = await rig.served({ bounds: { inFlightBytesMax: 1_000 } });
    const call = port.hold({ id: 'x'.repeat(900) }, within(60_000));
    await waitFor(() => probe.held.size === 1);
    expect(await codeOf(port.hold({ id: 'y'.repeat(200) }, within(5_000)))).toBe('OVERLOADED');
    expect(await codeOf(port.echo({ text: 'z'.repeat(200) }, within(5_000)))).toBe('answered');
    probe.release('x'.repeat(900));
    await call;
  });

  it('follow the broker when it allows less', async () => {
    await using small = await Rig.start({ config: 'max_payload: 10000' });
    const { port } = await small.served();
    await expect(port.echo({ text: 'x'.repeat(10_000) }, within(5_000))).rejects.toMatchObject({ code: 'TOO_LARGE', definite: true });
    await expect(port.produce({ bytes: 10_000 }, within(5_000))).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(await codeOf(port.echo({ text: 'x'.repeat(9_700) }, within(5_000)))).toBe('answered');
  });
});

describe('servers', () => {
  it('nobody serves: UNAVAILABLE at once', async () => {
    const caller = await rig.link();
    await expect(caller.client(probePort).echo({ text: '' }, within(60_000))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      definite: true,
      message: 'nobody serves probe.echo at the moment',
    });
    expect(caller.inFlight).toBe(0);
  });

  it('share the calls of one port', async () => {
    const { port, probe, caller } = await rig.served();
    const other = new Probe();
    await (await rig.link()).serve(probePort, other.port);
    await waitFor(() => caller.routing.members === 2);
    await Promise.all(Array.from({ length: 200 }, (_, i) => port.echo({ text: String(i) }, within(5_000))));
    expect(probe.seen.length + other.seen.length).toBe(200);
    expect(Math.min(probe.seen.length, other.seen.length)).toBeGreaterThan(40);
  });

  it('drain under load without losing a call', async () => {
    const { port, probe } = await rig.served();
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
      const responder = await (await rig.link()).serve(probePort, next.port);
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
    const { port, probe, server } = await rig.served();
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
    const { port, probe, server } = await rig.served();
    const call = port.hold({ id: 'endless' }, within(60_000));
    const outcome = expect(call).rejects.toMatchObject({ code: 'CONNECTION_LOST', definite: false });
    const context = await waitFor(() => probe.held.get('endless'));
    const startMs = performance.now();
    await server.close(100);
    expect(performance.now() - startMs).toBeLessThan(20_000);
    await outcome;
    expect(context.signal!.aborted).toBe(true);
  });

  it('are not waited for once nobody waits for their answers', async () => {
    const { port, probe, server } = await rig.served();
    const controller = new AbortController();
    const cancelled = codeOf(port.hold({ id: 'cancelled' }, within(60_000, { signal: controller.signal })));
    const expired = codeOf(port.hold({ id: 'expired' }, within(200)));
    await waitFor(() => probe.held.size === 2);
    controller.abort();
    expect(await cancelled).toBe('CANCELLED');
    expect(await expired).toBe('DEADLINE_EXCEEDED');
    const startMs = performance.now();
    await server.close(30_000);
    expect(performance.now() - startMs).toBeLessThan(20_000);
  });
});

describe('a server process', () => {
  let child: RunningProcess;

  beforeEach(async () => {
    child = await startProcess({
      ...fromSource(new URL('probe-server.ts', import.meta.url), rig.broker.url),
      name: 'probe-server',
      ready: /serving/,
    });
  });

  afterEach(async () => {
    await child.stop();
  });

  it('that was stopped does not run what is dead by the time it goes on, whatever the clocks of the two say', async () => {
    const port = (await rig.link()).client(probePort);
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
    const caller = await rig.link();
    const port = caller.client(probePort);
    await waitFor(() => caller.routing.members === 1);
    const code = codeOf(port.hold({ id: 'x' }, within(60_000)));
    await port.echo({ text: 'there' }, within(5_000));
    await child.kill();
    expect(await code).toBe('CONNECTION_LOST');
    expect(await codeOf(port.echo({ text: '' }, within(60_000)))).toBe('UNAVAILABLE');
  });

  it('that closes its link ends by itself: nothing is left open', async () => {
    const port = (await rig.link()).client(probePort);
    await port.echo({ text: 'there' }, within(5_000));
    expect(await child.stop(10_000)).toEqual({ code: 0, signal: null });
  });
});
