import { within } from '@diptych/kernel';
import { assertNoLeaks, openHandles, waitFor } from '@diptych/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Probe, probePort } from './probe-port.js';
import { codeOf, outcomeOf, Rig } from './rig.js';

/** What a link does that is closed at a bad moment. */
let rig: Rig;

beforeEach(async () => {
  rig = await Rig.start();
});

afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

describe('a link that is closed while', () => {
  it('a port is being served leaves no timer, and nobody who says that it serves', async () => {
    const before = openHandles();
    const server = await rig.link();
    const serving = outcomeOf(server.serve(probePort, new Probe().port));
    await server.close(0);
    await serving;
    await assertNoLeaks(before);
  });

  it('calls arrive, with no grace, ends each of them long before its deadline', async () => {
    for (let round = 0; round < 10; round++) {
      const server = await rig.link();
      const port = (await rig.link()).client(probePort);
      await server.serve(probePort, new Probe().port);
      await codeOf(port.echo({ text: 'warm' }, within(5_000)));
      const startMs = performance.now();
      const calls = [];
      const closed = server.close(0);
      for (let i = 0; i < 50; i++) {
        calls.push(codeOf(port.echo({ text: 'x' }, within(30_000))), codeOf(port.hold({ id: `${i}` }, within(30_000))));
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      await closed;
      const codes = new Set(await Promise.all(calls));
      expect(performance.now() - startMs).toBeLessThan(20_000);
      expect(['answered', 'UNAVAILABLE', 'CONNECTION_LOST']).toEqual(expect.arrayContaining([...codes]));
    }
  });

  it('the broker restarts answers or loses its calls, ends in time and leaves nothing', async () => {
    const before = openHandles();
    for (let round = 0; round < 5; round++) {
      const { port, probe, server, caller } = await rig.served();
      const calls = Array.from({ length: 100 }, (_, i) => codeOf(port.hold({ id: `${round} ${i}` }, within(30_000))));
      await waitFor(() => probe.held.size === 100);
      const closed = server.close(20_000);
      const restarted = rig.broker.restart();
      for (let i = 0; i < 100; i++) probe.release(`${round} ${i}`);
      expect(['answered', 'CONNECTION_LOST']).toEqual(expect.arrayContaining([...new Set(await Promise.all(calls))]));
      await Promise.all([closed, restarted]);
      await caller.close(0);
    }
    await assertNoLeaks(before);
  });
});

describe('a drain', () => {
  it('does not wait for a call past its deadline, though another had more time', async () => {
    const { port, probe, server } = await rig.served();
    const stuck = codeOf(port.hold({ id: 'stuck' }, within(300)));
    const patient = codeOf(port.hold({ id: 'patient' }, within(60_000)));
    await waitFor(() => probe.held.size === 2);
    const startMs = performance.now();
    const closed = server.close(30_000);
    probe.release('patient');
    expect(await patient).toBe('answered');
    await closed;
    expect(performance.now() - startMs).toBeLessThan(20_000);
    // Its server is gone by then; which of the two its caller learns first is all the same.
    expect(['DEADLINE_EXCEEDED', 'CONNECTION_LOST']).toContain(await stuck);
  });
});

it('a closed link leaves nothing open, and says so to whoever still calls', async () => {
  const before = openHandles();
  const { port, probe, caller, server } = await rig.served();
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
