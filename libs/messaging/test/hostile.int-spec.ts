import './overwrite-lent.js';
import { within } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { connect, createInbox } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeBeat, parseBeat } from '../src/nats/routing/beat.wire.js';
import { RequestReader } from '../src/nats/frame-readers.js';
import type { Part } from '../src/part.js';
import { answerPart, callPart, ReplyKind, setCallId } from '../src/nats/wire.js';
import { replyFrame, requestFrame } from './frames.js';
import { Probe, probePort, type ProbePort } from './probe-port.js';
import { codeOf, outcomeOf, Rig } from './rig.js';

/** What others on the same broker may do, by mistake or on purpose: their own calls may suffer, and nobody else's. */
let rig: Rig;
let plain: NatsConnection;

beforeEach(async () => {
  rig = await Rig.start();
  plain = await connect({ servers: rig.broker.url });
  await plain.flush();
});

afterEach(async () => {
  await plain.close();
  await rig[Symbol.asyncDispose]();
});

describe('a cancellation that nobody hears', () => {
  it('says nothing about the calls that shared its frame: they are neither refused nor sent again', async () => {
    const frames: Msg[] = [];
    // A server that does not listen to cancellations, or no longer.
    plain.subscribe('diptych.probe.v1.hold', { callback: (_, message) => void frames.push(message) });
    await plain.flush();
    const port = (await rig.link()).client(probePort);
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

describe('messages on the inbox of a caller', () => {
  it('that nobody asked for harm no call', async () => {
    const { port, probe, caller } = await rig.served();
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
    const server = await rig.link({ bounds: { inFlightMax: 100 } });
    const probe = new Probe();
    probe.hold = async ({ id }, context) => {
      deadlines.push(context.deadlineMs);
      return { id };
    };
    await server.serve(probePort, probe.port);
    const inbox = createInbox();
    const answers: Msg[] = [];
    plain.subscribe(`${inbox}.*`, { callback: (_, message) => void answers.push(message) });
    const send = (parts: Part[], sentMs = 0) =>
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
    const port = (await rig.link()).client(probePort);
    expect(await codeOf(port.hold({ id: 'well' }, within(20_000)))).toBe('answered');
    expect(server.status).toBe('connected');
    expect(deadlines.filter((deadlineMs) => !Number.isFinite(deadlineMs))).toEqual([]);
    expect(answers.length).toBeGreaterThan(10);
  });

  it('of ten thousand inboxes make no difference to the others', { timeout: 120_000 }, async () => {
    const { port } = await rig.served();
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
    const { port, caller } = await rig.served();
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
    const { port, probe, caller } = await rig.served();
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
