import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { within } from '@diptych/kernel';
import type { NatsServer } from '@diptych/testing';
import { assertNoLeaks, openHandles, startNatsServer, tempDir, waitFor } from '@diptych/testing';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { connect, createInbox } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DetailedError } from '../src/detailed-error.js';
import type { NatsLink, NatsOptions } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { encodeBeat, parseBeat } from '../src/nats/routing/beat.wire.js';
import { answerPart, callPart, ReplyKind, RequestReader, setCallId } from '../src/nats/wire.js';
import { replyFrame, requestFrame } from './frames.js';
import { Probe, probePort, type ProbePort } from './probe-port.js';

/** What others may do to a link, by mistake or on purpose, and handlers to a server: their own calls may suffer, and nobody else's. */
let broker: NatsServer;
let plain: NatsConnection;
let links: NatsLink[];
let faults: string[];

beforeEach(async () => {
  broker = await startNatsServer();
  plain = await connect({ servers: broker.url });
  links = [];
  faults = [];
  await plain.flush();
});

afterEach(async () => {
  await plain.close();
  await Promise.all(links.map((each) => each.close(0)));
  await broker.stop();
});

async function link(options: Partial<NatsOptions> = {}): Promise<NatsLink> {
  const made = await connectNats({ servers: broker.url, name: 'test', onFault: (fault) => faults.push(fault.message), ...options });
  links.push(made);
  return made;
}

async function served(options: Partial<NatsOptions> = {}): Promise<{ port: ProbePort; probe: Probe; caller: NatsLink; server: NatsLink }> {
  const probe = new Probe();
  const server = await link(options);
  await server.serve(probePort, probe.port);
  const caller = await link(options);
  const port = caller.client(probePort);
  await waitFor(() => caller.routing.members === 1);
  return { port, probe, caller, server };
}

const outcomeOf = async (call: Promise<unknown>) =>
  call.then(
    () => ({ code: 'answered', definite: false }),
    (error: { code: string; definite: boolean; message: string }) => error,
  );
const codeOf = async (call: Promise<unknown>) => (await outcomeOf(call)).code;

describe('a cancellation that nobody hears', () => {
  it('says nothing about the calls that shared its frame: they are neither refused nor sent again', async () => {
    const frames: Msg[] = [];
    // A server that does not listen to cancellations, or no longer.
    plain.subscribe('diptych.probe.v1.hold', { callback: (_, message) => void frames.push(message) });
    await plain.flush();
    const port = (await link()).client(probePort);
    const controller = new AbortController();
    const first = outcomeOf(port.hold({ id: 'a' }, within(60_000, { signal: controller.signal })));
    const second = outcomeOf(port.hold({ id: 'b' }, within(60_000)));
    await waitFor(() => frames.length === 1);
    controller.abort();
    expect(await first).toMatchObject({ code: 'CANCELLED', definite: false });
    const reader = new RequestReader(frames[0]!.data);
    while (reader.next());
    // Whatever the broker had to say about the cancellation comes before this.
    await Promise.all([codeOf(port.echo({ text: '' }, within(5_000))), codeOf(port.echo({ text: '' }, within(5_000)))]);
    frames[0]!.respond(replyFrame([answerPart('probe.hold', reader.id, ReplyKind.ANSWER, { id: 'b' }, 1_000)]));
    expect(await second).toMatchObject({ code: 'answered' });
    expect(frames).toHaveLength(1);
  });
});

describe('a broker that allows less than a frame', () => {
  it('gets smaller frames, of calls and of replies', async () => {
    await using dir = await tempDir();
    const config = join(dir.path, 'nats.conf');
    await writeFile(config, 'max_payload: 10000');
    const small = await startNatsServer({ args: ['-c', config] });
    try {
      const { port } = await served({ servers: small.url });
      const codes = await Promise.all(Array.from({ length: 200 }, () => codeOf(port.echo({ text: 'x'.repeat(500) }, within(20_000)))));
      expect(new Set(codes)).toEqual(new Set(['answered']));
      const replies = await Promise.all(Array.from({ length: 200 }, () => codeOf(port.produce({ bytes: 500 }, within(20_000)))));
      expect(new Set(replies)).toEqual(new Set(['answered']));
    } finally {
      await Promise.all(links.splice(0).map((each) => each.close(0)));
      await small.stop();
    }
  });
});

describe('a link that is closed while', () => {
  it('a port is being served leaves no timer, and nobody who says that it serves', async () => {
    const before = openHandles();
    const server = await link();
    const serving = outcomeOf(server.serve(probePort, new Probe().port));
    await server.close(0);
    await serving;
    await assertNoLeaks(before);
  });

  it('calls arrive, with no grace, ends each of them within a second', async () => {
    for (let round = 0; round < 10; round++) {
      const server = await link();
      const port = (await link()).client(probePort);
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
      expect(performance.now() - startMs).toBeLessThan(5_000);
      expect(['answered', 'UNAVAILABLE', 'CONNECTION_LOST']).toEqual(expect.arrayContaining([...codes]));
    }
  });

  it('the broker restarts answers or loses its calls, ends in time and leaves nothing', async () => {
    const before = openHandles();
    for (let round = 0; round < 5; round++) {
      const { port, probe, server, caller } = await served();
      const calls = Array.from({ length: 100 }, (_, i) => codeOf(port.hold({ id: `${round} ${i}` }, within(30_000))));
      await waitFor(() => probe.held.size === 100);
      const closed = server.close(20_000);
      const restarted = broker.restart();
      for (let i = 0; i < 100; i++) probe.release(`${round} ${i}`);
      expect(['answered', 'CONNECTION_LOST']).toEqual(expect.arrayContaining([...new Set(await Promise.all(calls))]));
      await Promise.all([closed, restarted]);
      await caller.close(0);
    }
    await plain.close();
    await assertNoLeaks(before);
  });
});

describe('a drain', () => {
  it('does not wait for a call past its deadline, though another had more time', async () => {
    const { port, probe, server } = await served();
    const stuck = codeOf(port.hold({ id: 'stuck' }, within(300)));
    const patient = codeOf(port.hold({ id: 'patient' }, within(60_000)));
    await waitFor(() => probe.held.size === 2);
    const startMs = performance.now();
    const closed = server.close(30_000);
    probe.release('patient');
    expect(await patient).toBe('answered');
    await closed;
    expect(performance.now() - startMs).toBeLessThan(5_000);
    // Its server is gone by then; which of the two its caller learns first is all the same.
    expect(['DEADLINE_EXCEEDED', 'CONNECTION_LOST']).toContain(await stuck);
  });
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
    const server = await link();
    const probe = new Probe();
    probe.echo = echo as () => Promise<never>;
    await server.serve(probePort, probe.port);
    const port = (await link()).client(probePort);
    const startMs = performance.now();
    const calls = [port.echo({ text: '1' }, within(1_000)), port.echo({ text: '2' }, within(1_000))].map(codeOf);
    const neighbours = [port.produce({ bytes: 10 }, within(20_000)), port.produce({ bytes: 10 }, within(20_000))].map(codeOf);
    expect(await Promise.all(neighbours)).toEqual(['answered', 'answered']);
    expect(await Promise.all(calls)).toEqual([code, code]);
    if (what !== 'never settles') expect(performance.now() - startMs).toBeLessThan(900);
    await server.close(60_000);
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });
});

describe('messages on the inbox of a caller', () => {
  it('that nobody asked for harm no call', async () => {
    const { port, probe, caller } = await served();
    const calls = Array.from({ length: 20 }, (_, i) => codeOf(port.hold({ id: String(i) }, within(60_000))));
    await waitFor(() => probe.held.size === 20);
    const inbox = await inboxOf(port);
    const huge = replyFrame([answerPart('x', 2 ** 32 - 1, ReplyKind.ANSWER, { id: 'x' }, 1_000)]);
    for (const id of ['-1', 'x', '1e3', ' ', '999999999999999999999', String(2 ** 30), '0x5', 'NaN', '-0.5'].filter((text) => text.trim()))
      for (const data of [
        new Uint8Array(0),
        new Uint8Array([0xd2, 1]),
        new Uint8Array([1, 2]),
        huge,
        Buffer.from('{"error":{"code":"CONFLICT"}}'),
      ])
        plain.publish(`${inbox}.${id}`, data);
    await plain.flush();
    const later = Array.from({ length: 100 }, () => {
      plain.publish(`${inbox}.-1`, new Uint8Array([0xd2, 1]));
      return codeOf(port.echo({ text: 'later' }, within(20_000)));
    });
    expect(new Set(await Promise.all(later))).toEqual(new Set(['answered']));
    for (let i = 0; i < 20; i++) probe.release(String(i));
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['answered']));
    expect(caller.inFlight).toBe(0);
  });
});

describe('frames of a stranger', () => {
  it('with deadlines that are none, ids that repeat, or thousands of calls are answered or refused, and the server lives', async () => {
    const deadlines: number[] = [];
    const server = await link({ bounds: { inFlightMax: 100 } });
    const probe = new Probe();
    probe.hold = async ({ id }, context) => {
      deadlines.push(context.deadlineMs);
      return { id };
    };
    await server.serve(probePort, probe.port);
    const inbox = createInbox();
    const answers: Msg[] = [];
    plain.subscribe(`${inbox}.*`, { callback: (_, message) => void answers.push(message) });
    const send = (parts: Buffer[], sentMs = 0) =>
      plain.publish('diptych.probe.v1.hold', requestFrame(parts, sentMs), { reply: `${inbox}.1` });
    const part = (deadlineMs: number, id = 1) => {
      const made = callPart('x', { id: 'x' }, deadlineMs, undefined, 1_000);
      setCallId(made, id);
      return made;
    };
    for (const deadlineMs of [Number.POSITIVE_INFINITY, Number.NaN, Number.NEGATIVE_INFINITY, 1e300, Number.MAX_VALUE])
      send([part(deadlineMs)]);
    for (const sentMs of [1e300, -1e300, Number.MAX_VALUE]) send([part(1_000)], sentMs);
    send([part(60_000, 7), part(60_000, 7)]);
    send(Array.from({ length: 20_000 }, (_, i) => part(60_000, i)));
    // A reply subject may be anything that a subject may be.
    for (const reply of [
      'x',
      '_INBOX.>',
      '*',
      'a..b',
      'a.',
      '.a',
      `a.${'x'.repeat(3_000)}`,
      'diptych.probe.v1.hold',
      'diptych.probe.v1._members.ask',
    ])
      plain.publish('diptych.probe.v1.hold', requestFrame([part(60_000)], 0), { reply });
    await plain.flush();
    const port = (await link()).client(probePort);
    expect(await codeOf(port.hold({ id: 'well' }, within(20_000)))).toBe('answered');
    expect(server.status).toBe('connected');
    expect(deadlines.filter((deadlineMs) => !Number.isFinite(deadlineMs))).toEqual([]);
    expect(answers.length).toBeGreaterThan(10);
  });

  it('of ten thousand inboxes make no difference to the others', { timeout: 120_000 }, async () => {
    const { port } = await served();
    const base = createInbox();
    let answers = 0;
    plain.subscribe(`${base}.*.*`, { callback: () => void answers++ });
    for (let i = 0; i < 10_000; i++) {
      const frame = requestFrame([callPart('x', { text: String(i) }, performance.now() + 60_000, undefined, 1_000)], performance.now());
      plain.publish('diptych.probe.v1.echo', frame, { reply: `${base}.${i}.0` });
      if (i % 500 === 0) expect(await codeOf(port.echo({ text: 'other' }, within(20_000)))).toBe('answered');
    }
    await plain.flush();
    await waitFor(() => answers === 10_000, { timeoutMs: 60_000 });
  });
});

describe('forged beats', () => {
  it('of members that are not there, however many, cost calls a detour and no more', async () => {
    const { port, caller } = await served();
    const forge = (name: string, sequence: number) =>
      plain.publish(
        'diptych.probe.v1._members',
        encodeBeat({ instance: name, state: 'serving', sequence, inFlight: 0, periodMs: 200, leaseMs: 15_000 }),
      );
    for (let round = 1; round <= 5; round++) {
      for (let i = 0; i < 400; i++) forge(`forged-${i}`, round);
      await plain.flush();
      const codes = await Promise.all(Array.from({ length: 100 }, () => codeOf(port.echo({ text: 'x' }, within(20_000)))));
      expect(new Set(codes)).toEqual(new Set(['answered']));
    }
    expect(caller.routing.members).toBeLessThanOrEqual(256);
    await waitFor(() => caller.routing.members === 1, { timeoutMs: 20_000 });
  });

  it('that say a member has left keep calls from it at most until it is asked', async () => {
    const { port, probe, caller } = await served();
    const beats: Uint8Array[] = [];
    plain.subscribe('diptych.probe.v1._members', { callback: (_, { data }) => void beats.push(data) });
    await plain.flush();
    const beat = await waitFor(() => beats[0]);
    const { instance } = parseBeat(beat);
    plain.publish(
      'diptych.probe.v1._members',
      encodeBeat({ instance, state: 'left', sequence: 2 ** 31 - 1, inFlight: 0, periodMs: 60_000, leaseMs: 15_000 }),
    );
    await plain.flush();
    for (let i = 0; i < 20; i++) expect(await codeOf(port.echo({ text: 'x' }, within(5_000)))).toBe('answered');
    expect(probe.seen).toHaveLength(20);
    expect(caller.inFlight).toBe(0);
  });
});

describe('a broker that stands still while replies pile up', () => {
  it('does not make the server the queue: what does not fit is dropped and reported', async () => {
    const { port, probe, server } = await served({ bounds: { inFlightBytesMax: 8_000_000 }, pingIntervalMs: 60_000 });
    probe.hold = async ({ id }) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return { id: id.padEnd(900_000) };
    };
    const waiting: Array<() => void> = [];
    const calls = Array.from({ length: 300 }, (_, i) => codeOf(port.hold({ id: String(i) }, within(60_000))));
    await waitFor(() => waiting.length === 300);
    await broker.kill('SIGSTOP');
    const before = arrayBuffersHeld();
    for (const [i, release] of waiting.entries()) {
      release();
      if (i % 10 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await waitFor(() => faults.some((fault) => fault.includes('replies are lost')));
    // It cannot come true while all of them are kept: the broker takes none.
    await waitFor(() => arrayBuffersHeld() - before < 80_000_000, { what: 'what was dropped is no longer held' });
    await broker.kill('SIGCONT');
    const fresh = await waitFor(async () => (await codeOf(port.echo({ text: '' }, within(5_000)))) === 'answered');
    expect(fresh).toBe(true);
    expect(server.status).toBe('connected');
    await server.close(0);
    await Promise.all(links.map((each) => each.close(0)));
    expect(['answered', 'CONNECTION_LOST', 'DEADLINE_EXCEEDED']).toEqual(expect.arrayContaining([...new Set(await Promise.all(calls))]));
  });
});

/** Where the frames of a caller are answered. While this listens the broker never says that nobody is there. */
async function inboxOf(port: ProbePort): Promise<string> {
  const inboxes: string[] = [];
  const spy = plain.subscribe('diptych.>', {
    callback: (_, { data, reply }) => void (data[0] === 0xd1 && reply && inboxes.push(reply.slice(0, reply.lastIndexOf('.')))),
  });
  await plain.flush();
  await codeOf(port.echo({ text: 'x' }, within(5_000)));
  const inbox = await waitFor(() => inboxes[0]);
  spy.unsubscribe();
  return inbox;
}

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

function raise(error: unknown): never {
  throw error;
}
