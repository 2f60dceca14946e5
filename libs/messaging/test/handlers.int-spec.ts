import { within } from '@diptych/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DetailedError } from '../src/detailed-error.js';
import { Probe, probePort } from './probe-port.js';
import { codeOf, Rig } from './rig.js';

/** What handlers may do to a server. */
let rig: Rig;

beforeEach(async () => {
  rig = await Rig.start();
});

afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

describe('a handler', () => {
  const odd: Array<[string, () => unknown, string]> = [
    ['throws at once', () => raise(new TypeError('x')), 'INTERNAL'],
    ['throws nothing', () => raise(undefined), 'INTERNAL'],
    ['rejects with null', async () => raise(null), 'INTERNAL'],
    ['returns no promise', () => ({ text: 'plain' }), 'answered'],
    ['returns nothing', () => undefined, 'INTERNAL'],
    ['returns what cannot be encoded', () => ({ text: 'x', list: new Proxy([], { get: () => raise(new Error('no')) }) }), 'INTERNAL'],
    ['returns a thenable that throws', () => ({ then: () => raise(new Error('x')) }), 'INTERNAL'],
    [
      'returns a thenable that answers twice',
      () => ({ then: (ok: (value: unknown) => void) => (ok({ text: 'a' }), ok({ text: 'b' })) }),
      'answered',
    ],
    ['has an error with details larger than a message', () => raise(new DetailedError('CONFLICT', 'x', 'y'.repeat(2_000_000))), 'CONFLICT'],
    [
      'has an error with details that cannot be encoded',
      () => raise(new DetailedError('CONFLICT', 'x', new Proxy([], { get: () => raise(new Error('no')) }))),
      'CONFLICT',
    ],
    ['never settles', () => new Promise(() => undefined), 'DEADLINE_EXCEEDED'],
  ];
  it.each(odd)('that %s is answered for, and its neighbours are too', async (what, echo, code) => {
    const server = await rig.link();
    const probe = new Probe();
    probe.echo = echo as () => Promise<never>;
    await server.serve(probePort, probe.port);
    const port = (await rig.link()).client(probePort);
    const startMs = performance.now();
    const timeoutMs = what === 'never settles' ? 1_000 : 20_000;
    const calls = [port.echo({ text: '1' }, within(timeoutMs)), port.echo({ text: '2' }, within(timeoutMs))].map(codeOf);
    const neighbours = [port.produce({ bytes: 10 }, within(20_000)), port.produce({ bytes: 10 }, within(20_000))].map(codeOf);
    expect(await Promise.all(neighbours)).toEqual(['answered', 'answered']);
    expect(await Promise.all(calls)).toEqual([code, code]);
    await server.close(60_000);
    expect(performance.now() - startMs).toBeLessThan(20_000);
  });
});

function raise(error: unknown): never {
  throw error;
}
