import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { within } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { codeOf, Rig } from './rig.js';

/** What brokers do that allow little, or take little. */
describe('a broker that allows less than a frame', () => {
  it('gets smaller frames, of calls and of replies', async () => {
    await using rig = await Rig.start({ config: 'max_payload: 10000' });
    const { port } = await rig.served();
    const codes = await Promise.all(Array.from({ length: 200 }, () => codeOf(port.echo({ text: 'x'.repeat(500) }, within(20_000)))));
    expect(new Set(codes)).toEqual(new Set(['answered']));
    const replies = await Promise.all(Array.from({ length: 200 }, () => codeOf(port.produce({ bytes: 500 }, within(20_000)))));
    expect(new Set(replies)).toEqual(new Set(['answered']));
  });
});

describe('a broker that stands still while replies pile up', () => {
  it('does not make the server the queue: what does not fit is dropped and reported', async () => {
    await using rig = await Rig.start();
    const { port, probe, server } = await rig.served({ bounds: { inFlightBytesMax: 8_000_000 }, pingIntervalMs: 60_000 });
    probe.hold = async ({ id }) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return { id: id.padEnd(900_000) };
    };
    const waiting: Array<() => void> = [];
    const calls = Array.from({ length: 300 }, (_, i) => codeOf(port.hold({ id: String(i) }, within(60_000))));
    await waitFor(() => waiting.length === 300);
    await rig.broker.kill('SIGSTOP');
    const before = arrayBuffersHeld();
    for (const [i, release] of waiting.entries()) {
      release();
      if (i % 10 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await waitFor(() => rig.faults.some((fault) => fault.includes('replies are lost')));
    // It cannot come true while all of them are kept: the broker takes none.
    await waitFor(() => arrayBuffersHeld() - before < 80_000_000, { what: 'what was dropped is no longer held' });
    await rig.broker.kill('SIGCONT');
    const fresh = await waitFor(async () => (await codeOf(port.echo({ text: '' }, within(5_000)))) === 'answered');
    expect(fresh).toBe(true);
    expect(server.status).toBe('connected');
    await server.close(0);
    await Promise.all(rig.links.map((each) => each.close(0)));
    expect(['answered', 'CONNECTION_LOST', 'DEADLINE_EXCEEDED']).toEqual(expect.arrayContaining([...new Set(await Promise.all(calls))]));
  });
});

/**
 * Without what is only waiting to be collected. V8 takes freed array buffers off this count in a thread of its own, after the collection and
 * whenever that thread gets a processor; it has done so by the time the next collection begins.
 */
function arrayBuffersHeld(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().arrayBuffers;
}
