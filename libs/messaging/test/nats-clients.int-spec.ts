import './overwrite-lent.js';
import { within } from '@diptych/kernel';
import type { NatsServer } from '@diptych/testing';
import { seedFromEnv, startNatsServer, waitFor } from '@diptych/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { connect, createInbox, headers } from '@nats-io/transport-node';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NatsLink } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { Probe, probePort, type ProbePort } from './probe-port.js';
import { NO_TRACEPARENTS } from './traceparents.js';

/** What any client of the broker may send: JSON it means well, and garbage it does not. */
let broker: NatsServer;
let server: NatsLink;
let caller: NatsLink;
let plain: NatsConnection;
let probe: Probe;
let port: ProbePort;
let faults: string[];

beforeEach(async () => {
  broker = await startNatsServer();
  faults = [];
  const onFault = (fault: Error) => faults.push(fault.message);
  server = await connectNats({ servers: broker.url, name: 'server', onFault });
  caller = await connectNats({ servers: broker.url, name: 'caller', onFault });
  plain = await connect({ servers: broker.url });
  probe = new Probe();
  await server.serve(probePort, probe.port);
  port = caller.client(probePort);
});

afterEach(async () => {
  await plain.close();
  await Promise.all([server.close(0), caller.close(0)]);
  await broker.stop();
});

describe('a plain NATS client', () => {
  it('asks in JSON and is answered in JSON, bytes as base64', async () => {
    const request = { text: 'é', bytes: Buffer.from([0, 1, 255]).toString('base64'), number: 1.5, list: ['a'] };
    const reply = await plain.request('diptych.probe.v1.echo', ` \n${JSON.stringify(request)}`, { timeout: 5_000 });
    expect(reply.json()).toEqual(request);
    expect(probe.seen[0]!.bytes).toEqual(new Uint8Array([0, 1, 255]));
    expect(reply.headers).toBeUndefined();
  });

  it('gets errors in JSON, with the code in a header', async () => {
    const cases: Array<[string, string, string]> = [
      ['fail', '{"code":"CONFLICT"}', 'CONFLICT'],
      ['fail', '{"code":"TypeError"}', 'INTERNAL'],
      ['echo', '{"text":7}', 'INVALID_REQUEST'],
      ['echo', '{"text":"x","bytes":"?"}', 'INVALID_REQUEST'],
      ['echo', '{"text":', 'INVALID_REQUEST'],
      ['echo', 'text', 'INVALID_REQUEST'],
      ['echo', '', 'INVALID_REQUEST'],
      ['produce', '{"bytes":1000000}', 'INTERNAL'],
    ];
    for (const [method, request, code] of cases) {
      const reply = await plain.request(`diptych.probe.v1.${method}`, request, { timeout: 5_000 });
      expect(reply.headers?.get('Diptych-Error')).toBe(code);
      expect(reply.json()).toMatchObject({ error: { code, message: expect.any(String), definite: expect.any(Boolean) } });
    }
  });

  it('may say anything about the trace it belongs to: what cannot be one goes no further', async () => {
    const traces: Array<string | undefined> = [];
    probe.hold = async ({ id }, { traceparent }) => {
      traces.push(traceparent);
      return { id };
    };
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const others = [...NO_TRACEPARENTS, 'x'.repeat(100_000), '\u{1f600}', 'a\tb', '', '\u007f'];
    for (const text of [trace, ...others]) {
      const fields = headers();
      fields.set('traceparent', text);
      const reply = await plain.request('diptych.probe.v1.hold', '{"id":"x"}', { timeout: 60_000, headers: fields });
      expect(reply.json()).toEqual({ id: 'x' });
    }
    expect(traces).toEqual([trace, ...others.map(() => undefined)]);
  });

  it('is told which bound a reply breaks that only JSON makes too large', async () => {
    const reply = await plain.request('diptych.probe.v1.produce', '{"bytes":900000}', { timeout: 5_000 });
    const { error } = reply.json<{ error: { code: string; message: string } }>();
    expect(error.code).toBe('INTERNAL');
    expect(error.message).toMatch(
      /^the reply of probe\.produce has 12\d{5} bytes as JSON.* base64; a message may have 1048000: about 780760 bytes/,
    );
    const fits = await plain.request('diptych.probe.v1.produce', '{"bytes":780000}', { timeout: 5_000 });
    expect(Buffer.from(fits.json<{ bytes: string }>().bytes, 'base64')).toHaveLength(780_000);
  });

  it('is answered on the connection there is, when the one its call came by is gone', async () => {
    const patient = await connect({ servers: broker.url, reconnectTimeWait: 20, maxReconnectAttempts: -1 });
    const answers: string[] = [];
    patient.subscribe('test.answers', { callback: (_, message) => void answers.push(message.string()) });
    patient.publish('diptych.probe.v1.hold', '{"id":"held"}', { reply: 'test.answers' });
    await waitFor(() => probe.held.size === 1);
    await broker.restart();
    await waitFor(() => server.status === 'connected' && caller.status === 'connected');
    // Its subscription is there again as soon as it has been answered once.
    await waitFor(async () => {
      patient.publish('diptych.probe.v1.echo', '{"text":"there"}', { reply: 'test.answers' });
      await patient.flush();
      return answers.length > 0;
    });
    probe.release('held');
    await waitFor(() => answers.includes('{"id":"held"}'));
    await patient.close();
  });

  it('costs no AbortController unless the work asks for its signal', async () => {
    const Real = globalThis.AbortController;
    let made = 0;
    globalThis.AbortController = class extends Real {
      constructor() {
        super();
        made++;
      }
    };
    try {
      for (let i = 0; i < 20; i++) await plain.request('diptych.probe.v1.echo', '{"text":"x"}', { timeout: 5_000 });
      expect(made).toBe(0);
    } finally {
      globalThis.AbortController = Real;
    }
  });

  it('says how long it waits in a header', async () => {
    const fields = headers();
    fields.set('Diptych-Timeout-Ms', '0');
    const reply = await plain.request('diptych.probe.v1.echo', '{"text":"x"}', { timeout: 5_000, headers: fields });
    expect(reply.json()).toMatchObject({ error: { code: 'DEADLINE_EXCEEDED', definite: true } });
    expect(probe.seen).toEqual([]);
  });
});

describe('garbage', () => {
  it('in any message to a server is answered or dropped, and harms nobody', async () => {
    const subjects = [...Object.keys(probePort.methods), '_cancel'].map((name) => `diptych.probe.v1.${name}`);
    const inbox = createInbox();
    let answers = 0;
    plain.subscribe(`${inbox}.*`, { callback: () => void answers++ });
    const payload = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.uint8Array({ maxLength: 80 }).map((tail) => new Uint8Array([0xd1, 0, 1, ...tail])),
      fc.json().map((text) => new TextEncoder().encode(text)),
      fc.json().map((text) => new TextEncoder().encode(`{"text":${text}}`)),
    );
    let sent = 0;
    fc.assert(
      fc.property(fc.constantFrom(...subjects), payload, fc.boolean(), (subject, data, answered) => {
        plain.publish(subject, data, answered ? { reply: `${inbox}.${sent++}` } : {});
      }),
      { seed: seedFromEnv(), numRuns: 1_000 },
    );
    await plain.flush();
    expect(await port.echo({ text: 'alive' }, within(10_000))).toEqual({ text: 'alive' });
    expect([server.status, caller.status]).toEqual(['connected', 'connected']);
    expect(answers).toBeGreaterThan(100);
  });

  it('for an answer is INTERNAL', async () => {
    await server.close(0);
    const answers = [
      new Uint8Array([1, 2, 3]),
      new Uint8Array(0),
      new TextEncoder().encode('{"error":{"code":"NEW_CODE"}}'),
      new Uint8Array([0xd2, 0, 9]),
    ];
    let answer = 0;
    plain.subscribe('diptych.probe.v1.echo', { callback: (_, message) => void message.respond(answers[answer++]) });
    await plain.flush();
    for (let i = 0; i < answers.length; i++)
      await expect(port.echo({ text: '' }, within(10_000))).rejects.toMatchObject({ code: 'INTERNAL', definite: false });
    expect(caller.inFlight).toBe(0);
  });

  it('for an event is dropped and reported, and the next one arrives', async () => {
    const ticks: number[] = [];
    await port.ticks(({ tick }) => ticks.push(tick));
    const subject = 'diptych.probe.v1.ticks';
    for (const garbage of [new Uint8Array(0), new Uint8Array([0xd4]), new Uint8Array([0xd4, 0x80]), new TextEncoder().encode('{}')])
      plain.publish(subject, garbage);
    await plain.flush();
    await waitFor(() => faults.length === 4);
    probe.tick({ tick: 1 });
    await waitFor(() => ticks.length === 1);
    expect(ticks).toEqual([1]);
  });

  it('for a reply nobody waits for is dropped', async () => {
    const call = port.hold({ id: 'late' }, within(50));
    await expect(call).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    probe.release('late');
    expect(await port.echo({ text: 'x' }, within(5_000))).toEqual({ text: 'x' });
    expect(caller.inFlight).toBe(0);
  });
});
