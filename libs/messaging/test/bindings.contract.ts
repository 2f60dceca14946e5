import { ERROR_TABLE, type ErrorCode, within } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { describeOverBindings, type BindingName } from '../src/testing/index.js';
import { messageOfProbe, Probe, probePort, type Tick } from './probe-port.js';

/** What every binding promises, whatever it carries. The same cases for all of them. */
export function describeBindings(bindings: readonly BindingName[]): void {
  let probe: Probe;
  const create = async () => {
    probe = new Probe();
    return { implementation: probe.port };
  };
  const bounds = { inFlightMax: 8, messageBytesMax: 200_000 };

  describeOverBindings('a port', { descriptor: probePort, create, bindings, bounds }, (open, binding) => {
    it('carries every kind of value', async () => {
      const port = await open();
      const values = [
        { text: '' },
        { text: 'a\u0000é𝄞\uFFFF', bytes: new Uint8Array(0), number: -0.5, list: [] },
        { text: 'x'.repeat(70_000), bytes: new Uint8Array(70_000).fill(255), number: 2 ** 53 - 1, list: ['a', '', '\n'] },
        ...[1, 2_000, 3_000, 20_000, 60_000].map((length) => ({ text: 'of every size', bytes: new Uint8Array(length).fill(length) })),
        { text: 'undefined is absence', bytes: undefined, number: undefined },
      ];
      for (const value of values) {
        const reply = await port.echo(value, within(5_000));
        expect(reply).toEqual(value);
        if (value.bytes) expect(reply.bytes!.constructor).toBe(Uint8Array);
      }
    });

    it(`${binding === 'in-process' ? 'passes values by reference' : 'shares nothing between the two sides'}`, async () => {
      const port = await open();
      const request = { text: 'mine', bytes: new Uint8Array([1, 2, 3]) };
      const reply = await port.echo(request, within(5_000));
      const byReference = binding === 'in-process';
      expect(probe.seen[0] === request).toBe(byReference);
      expect(reply === probe.seen[0]).toBe(byReference);
      expect(reply.bytes!.buffer === request.bytes.buffer).toBe(byReference);
      // Nor does it hold on to the frame it came in, which may be a window on 64 KiB.
      if (!byReference) expect(reply.bytes!.buffer.byteLength).toBeLessThanOrEqual(8_192);
    });

    it('answers a repeated request again', async () => {
      const port = await open();
      for (let i = 0; i < 3; i++) expect(await port.echo({ text: 'again' }, within(5_000))).toEqual({ text: 'again' });
      expect(probe.seen.length).toBe(3);
    });

    it('keeps many calls apart', async () => {
      const port = await open();
      const ids = Array.from({ length: 8 }, (_, i) => String(i));
      const calls = ids.map((id) => port.hold({ id }, within(5_000)));
      await waitFor(() => probe.held.size === 8);
      for (const id of [...ids].reverse()) probe.release(id);
      expect(await Promise.all(calls)).toEqual(ids.map((id) => ({ id })));
    });

    it.each(Object.keys(ERROR_TABLE) as ErrorCode[])('carries %s', async (code) => {
      const port = await open();
      const { definite } = ERROR_TABLE[code];
      const expected = { code, definite, message: messageOfProbe(code), retryAfterMs: 7 };
      await expect(port.fail({ code }, within(5_000))).rejects.toMatchObject(expected);
      await expect(port.fail({ code, definite: true }, within(5_000))).rejects.toMatchObject({ ...expected, definite: true });
      const error = await port.fail({ code }, within(5_000)).catch((thrown: Error) => thrown);
      expect((error as Error).cause === undefined).toBe(binding !== 'in-process');
    });

    it('tells of any other exception only that there was one', async () => {
      const port = await open();
      const error = await port.fail({ code: 'TypeError' }, within(5_000)).catch((thrown: Error) => thrown);
      expect(error).toMatchObject({ code: 'INTERNAL', definite: false, message: 'internal error' });
    });

    it('refuses a request that does not fit its schema, unseen by the implementation', async () => {
      const port = await open();
      for (const wrong of [{}, { text: 7 }, { text: 'x', bytes: 'x' }, { text: 'x'.repeat(100_001) }, 'text', null, undefined, []])
        await expect(port.echo(wrong as { text: string }, within(5_000))).rejects.toMatchObject({
          code: 'INVALID_REQUEST',
          definite: true,
          message: expect.stringMatching(/^the request to probe.echo is malformed: /),
        });
      expect(probe.seen).toEqual([]);
    });

    it('refuses a request over the bound, unseen by the implementation', async () => {
      const port = await open();
      const refusal = { code: 'TOO_LARGE', definite: true, message: 'the request to probe.echo is larger than 200000 bytes' };
      await expect(port.echo({ text: '', bytes: new Uint8Array(200_001) }, within(5_000))).rejects.toMatchObject(refusal);
      expect(probe.seen).toEqual([]);
      await port.echo({ text: '', bytes: new Uint8Array(199_900) }, within(5_000));
    });

    it('does not promise that nothing happened when the reply is over the bound', async () => {
      const port = await open();
      await expect(port.produce({ bytes: 200_001 }, within(5_000))).rejects.toMatchObject({
        code: 'INTERNAL',
        definite: false,
        message: 'the reply of probe.produce is larger than 200000 bytes',
      });
      expect((await port.produce({ bytes: 199_900 }, within(5_000))).bytes.byteLength).toBe(199_900);
    });

    it.runIf(binding !== 'in-process')('refuses a reply that does not fit its schema', async () => {
      const port = await open();
      await expect(port.garble({}, within(5_000))).rejects.toMatchObject({ code: 'INTERNAL', definite: false });
    });

    it('answers UNAVAILABLE at once for a method nobody implements', async () => {
      const port = await open();
      await expect(port.missing({}, within(60_000))).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        definite: true,
        message: 'nobody serves probe.missing at the moment',
      });
    });

    it('rejects a call that never settles at its deadline, and hands the deadline on', async () => {
      const port = await open();
      const context = within(60);
      await expect(port.hold({ id: 'never' }, context)).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        definite: false,
        message: 'probe.hold did not answer before its deadline',
      });
      expect(performance.now()).toBeGreaterThanOrEqual(context.deadlineMs);
      expect(Math.abs(probe.held.get('never')!.deadlineMs - context.deadlineMs)).toBeLessThan(1_000);
    });

    it('does not begin what is dead already', async () => {
      const port = await open();
      await expect(port.echo({ text: '' }, within(0))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', definite: true });
      await expect(port.echo({ text: '' }, { deadlineMs: Number.NaN })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      await expect(port.echo({ text: '' }, { deadlineMs: Infinity })).rejects.toMatchObject({ code: 'INVALID_REQUEST', definite: true });
      await expect(port.echo({ text: '' }, within(5_000, { signal: AbortSignal.abort('why') }))).rejects.toMatchObject({
        code: 'CANCELLED',
        definite: true,
        cause: 'why',
      });
      expect(probe.seen).toEqual([]);
    });

    it('ends a call in flight when its signal aborts, and tells whoever works on it', async () => {
      const port = await open();
      const controller = new AbortController();
      const call = port.hold({ id: 'cancelled' }, within(60_000, { signal: controller.signal }));
      const outcome = expect(call).rejects.toMatchObject({ code: 'CANCELLED', definite: false, cause: 'not needed' });
      const context = await waitFor(() => probe.held.get('cancelled'));
      expect(context.signal!.aborted).toBe(false);
      controller.abort('not needed');
      await outcome;
      await waitFor(() => context.signal!.aborted);
    });

    it('hands the trace context on', async () => {
      const port = await open();
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
      const call = port.hold({ id: 'traced' }, within(5_000, { traceparent }));
      expect((await waitFor(() => probe.held.get('traced'))).traceparent).toBe(traceparent);
      probe.release('traced');
      await call;
    });

    it('refuses one call more than the bound at once, and takes calls again when some have ended', async () => {
      const port = await open();
      const calls = Array.from({ length: 8 }, (_, i) => port.hold({ id: String(i) }, within(60_000)));
      await expect(port.hold({ id: 'one more' }, within(60_000))).rejects.toMatchObject({
        code: 'OVERLOADED',
        definite: true,
        message: '8 calls of probe.hold are in flight already; this one was not made',
        retryAfterMs: expect.any(Number),
      });
      await waitFor(() => probe.held.size === 8);
      probe.release('0');
      await calls[0];
      expect(await port.echo({ text: 'again' }, within(5_000))).toEqual({ text: 'again' });
      for (let i = 1; i < 8; i++) probe.release(String(i));
      await Promise.all(calls);
    });

    it('counts by method: one that is stuck leaves the others alone', async () => {
      const port = await open();
      const stuck = Array.from({ length: 8 }, (_, i) => port.hold({ id: String(i) }, within(60_000)));
      await waitFor(() => probe.held.size === 8);
      for (let i = 0; i < 20; i++) expect(await port.echo({ text: String(i) }, within(5_000))).toEqual({ text: String(i) });
      for (let i = 0; i < 8; i++) probe.release(String(i));
      await Promise.all(stuck);
    });

    it('counts work past its deadline as in flight until it ends', async () => {
      const port = await open();
      const calls = Array.from({ length: 8 }, (_, i) => port.hold({ id: String(i) }, within(80)));
      await Promise.all(calls.map((call) => expect(call).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })));
      await expect(port.hold({ id: 'one more' }, within(5_000))).rejects.toMatchObject({ code: 'OVERLOADED', definite: true });
      for (let i = 0; i < 8; i++) probe.release(String(i));
      await waitFor(() => port.echo({ text: 'again' }, within(5_000)));
    });

    it('delivers the events of a topic in order, to every listener, until it is disposed of', async () => {
      const port = await open();
      const first: number[] = [];
      const second: number[] = [];
      const subscription = await port.ticks(({ tick }) => first.push(tick));
      await port.ticks(({ tick }) => second.push(tick));
      expect(subscription.delivery).toBe(binding === 'nats' || binding === 'threads' ? 'best-effort' : 'synchronous');
      for (let tick = 0; tick < 500; tick++) probe.tick({ tick });
      if (subscription.delivery === 'best-effort') await waitFor(() => first.length === 500 && second.length === 500);
      const all = Array.from({ length: 500 }, (_, tick) => tick);
      expect(first).toEqual(all);
      expect(second).toEqual(all);
      subscription[Symbol.dispose]();
      subscription[Symbol.dispose]();
      probe.tick({ tick: 500 });
      await waitFor(() => second.length === 501);
      expect(first.length).toBe(500);
    });

    it('survives a listener that throws, and drops an event over the bound', async () => {
      const port = await open();
      const events: Tick[] = [];
      await port.ticks(() => {
        throw new Error('a bad listener');
      });
      await port.ticks((event) => events.push(event));
      probe.tick({ tick: 1, bytes: new Uint8Array(200_001) });
      const sent = { tick: 2, bytes: new Uint8Array([1]) };
      probe.tick(sent);
      await waitFor(() => events.length === 1);
      expect(events).toEqual([sent]);
      expect(events[0] === sent).toBe(binding === 'in-process');
    });
  });
}
