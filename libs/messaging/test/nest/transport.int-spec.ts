import '../overwrite-lent.js';
import { deadlines, DiptychError, systemClock } from '@diptych/kernel';
import type { NatsServer } from '@diptych/testing';
import { assertNoLeaks, freePort, openHandles, startNatsServer, waitFor } from '@diptych/testing';
import type { INestMicroservice } from '@nestjs/common';
import type { NatsConnection } from '@nats-io/transport-node';
import { connect, createInbox, headers as newHeaders } from '@nats-io/transport-node';
import { firstValueFrom, lastValueFrom, timeout, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectNats } from '../../src/index.js';
import type { DiptychClient } from '../../src/nest/index.js';
import { DiptychContext, DiptychErrorFilter, DiptychRecordBuilder, DiptychServer } from '../../src/nest/index.js';
import type { NestApps } from './nest-apps.js';
import { begin, end, STOCK } from './nest-apps.js';
import { seen } from './orders.controller.js';

/** What our transport does that Nest's own does not. What they share is in conformance.int-spec.ts. */
let broker: NatsServer;
let apps: NestApps;

beforeEach(async () => void ({ broker, apps } = await begin()));
afterEach(() => end({ broker, apps }));

async function served(options: object = {}): Promise<{ app: INestMicroservice; client: DiptychClient }> {
  const app = await apps.serveOurs({ servers: broker.url, ...options });
  const client = await apps.clientOfOurs({ servers: broker.url, ...options });
  await client.connect();
  return { app, client };
}

const ask = (client: DiptychClient, pattern: unknown, data: unknown = 'x') => firstValueFrom(client.send<unknown>(pattern as string, data));
const errorOf = async (call: Promise<unknown>) =>
  call.then(
    (value) => ({ code: 'answered', value }),
    (error: { code: string; definite?: boolean; message: string }) => error,
  );
const record = (data: unknown, timeoutMs: number) => new DiptychRecordBuilder(data).setTimeoutMs(timeoutMs).build();

describe('deadlines and cancellation', () => {
  it('a call has a deadline: of its record, else of the client; the work on an Observable ends with it', async () => {
    const { client } = await served({ timeoutMs: 60_000 });
    const beganMs = performance.now();
    // Again, should a call be dead on a busy machine before its handler begins.
    const endsWithItsDeadline = (call: () => Promise<unknown>) => {
      const { unsubscribed } = seen;
      return waitFor(async () => {
        expect(await errorOf(call())).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
        return waitFor(() => seen.unsubscribed > unsubscribed, { timeoutMs: 1_000 });
      });
    };
    await endsWithItsDeadline(() => ask(client, 'orders.never', record('x', 60)));
    expect(performance.now() - beganMs).toBeLessThan(30_000);
    const hasty = await apps.clientOfOurs({ servers: broker.url, timeoutMs: 300 });
    await hasty.connect();
    await endsWithItsDeadline(() => ask(hasty, 'orders.never'));
  });

  it('a stream has one deadline for all of it', async () => {
    const { client } = await served();
    const values: unknown[] = [];
    const ended = new Promise((resolve) => {
      client.send('orders.ticks', record(1_000_000, 150)).subscribe({ next: (value) => values.push(value), error: resolve });
    });
    expect(await ended).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(values.length).toBeGreaterThan(0);
    await waitFor(() => seen.unsubscribed === 1);
  });

  it('a handler sees deadline, signal, headers, metadata and trace, and can pass them on', async () => {
    const { client } = await served();
    client.setOnDispatchHook((packet) => (packet.metadata = { traceparent: TRACE, tenant: 'b' }));
    const call = new DiptychRecordBuilder('held')
      .setHeaders({ tenant: 'a', many: ['1', '2'] })
      .setTimeoutMs(20_000)
      .build();
    await ask(client, 'orders.context', call);
    const context = seen.contexts[0] as DiptychContext;
    expect(context).toBeInstanceOf(DiptychContext);
    expect(context.deadlineMs - systemClock.nowMs()).toBeGreaterThan(15_000);
    expect(context.deadlineMs - systemClock.nowMs()).toBeLessThanOrEqual(20_000);
    expect(context.getHeaders()!.values('many')).toEqual(['1', '2']);
    expect(context.getMetadata()).toEqual({ traceparent: TRACE, tenant: 'b' });
    expect(context.traceparent).toBe(TRACE);
    expect(context.signal.aborted).toBe(false);
    const next = new DiptychRecordBuilder('next').within(context).build();
    expect(next.traceparent).toBe(TRACE);
    expect(next.timeoutMs).toBeLessThanOrEqual(20_000);
  });

  it('unsubscribing aborts the signal of the handler, at once and after a while; so does rxjs timeout', async () => {
    const { client } = await served();
    const early = client.send('orders.await-signal', 'early').subscribe();
    early.unsubscribe();
    const late = client.send('orders.await-signal', 'late').subscribe();
    await waitFor(() => seen.waiting >= 1);
    late.unsubscribe();
    const timed = client.send('orders.await-signal', 'timed').pipe(timeout(50));
    await expect(lastValueFrom(timed)).rejects.toMatchObject({ name: 'TimeoutError' });
    await waitFor(() => seen.aborted.includes('late CANCELLED') && seen.aborted.includes('timed CANCELLED'));
  });

  it('a stream that was given up before it began never begins', async () => {
    const { client } = await served();
    const late = client.send('orders.late-never', '').subscribe();
    const other = client.send('orders.await-signal', 'other').subscribe();
    await waitFor(() => seen.hold.size === 1 && seen.waiting === 1);
    late.unsubscribe();
    other.unsubscribe();
    // That one was called off after this one.
    await waitFor(() => seen.aborted.includes('other CANCELLED'));
    seen.hold.get('late')!(undefined);
    await ask(client, 'orders.promise', 1);
    expect(seen.waiting).toBe(1);
  });

  it('the signal is aborted at the deadline too', async () => {
    const { client } = await served();
    expect(await errorOf(ask(client, 'orders.await-signal', record('slow', 50)))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await waitFor(() => seen.aborted.includes('slow DEADLINE_EXCEEDED'));
  });
});

describe('bounds', () => {
  it('one call more than may be in flight is OVERLOADED at once, of its pattern alone', async () => {
    const { client } = await served({ bounds: { inFlightMax: 3 } });
    const held = ['a', 'b', 'c'].map((id) => ask(client, 'orders.hold', id));
    await waitFor(() => seen.hold.size === 3);
    expect(await errorOf(ask(client, 'orders.hold', 'd'))).toMatchObject({ code: 'OVERLOADED', definite: true });
    expect(await ask(client, 'orders.promise', 1)).toBe(2);
    for (const [id, release] of seen.hold) release(id);
    expect(await Promise.all(held)).toEqual(['a', 'b', 'c']);
  });

  it('a message over the bound is TOO_LARGE, as a request and as an event; an answer over it is INTERNAL', async () => {
    const { client } = await served({ bounds: { messageBytesMax: 10_000 }, onFault: () => undefined });
    const large = 'x'.repeat(20_000);
    expect(await errorOf(ask(client, 'orders.value', large))).toMatchObject({ code: 'TOO_LARGE', definite: true });
    expect(await errorOf(lastValueFrom(client.emit('orders.created', large)))).toMatchObject({ code: 'TOO_LARGE' });
    expect(await errorOf(ask(client, 'orders.repeat', 20_000))).toMatchObject({ code: 'INTERNAL' });
    expect(await ask(client, 'orders.repeat', 3)).toBe('xxx');
  });

  it('a stream that runs ahead of the broker by more than its bound ends, and nobody is told that it never began', async () => {
    const { client } = await served({ bounds: { inFlightBytesMax: 100_000 } });
    const error = await errorOf(lastValueFrom(client.send('orders.several', 100_000).pipe(toArray())));
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', definite: false });
  });

  it('an error with more data than may cross says so', async () => {
    const { client } = await served();
    expect(await errorOf(ask(client, 'orders.rpc-large'))).toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('64 KiB') });
  });
});

describe('errors', () => {
  it('with the filter, codes of handlers reach the caller', async () => {
    await apps.serveOurs({ servers: broker.url }, (app) => app.useGlobalFilters(new DiptychErrorFilter()));
    const client = await apps.clientOfOurs({ servers: broker.url });
    const error = await errorOf(ask(client, 'orders.diptych-error'));
    expect(error).toBeInstanceOf(DiptychError);
    expect(error).toMatchObject({ code: 'CONFLICT', definite: true, message: 'the condition does not hold' });
    expect(await errorOf(ask(client, 'orders.unknown'))).toEqual({ status: 'error', message: 'Internal server error' });
  });

  it('a pattern may hold white space, which NATS cannot have in a subject', async () => {
    const server = new DiptychServer({ servers: broker.url });
    server.addHandler({ cmd: 'two words' }, async () => Promise.resolve('two words'));
    await apps.serve({ strategy: server });
    const client = await apps.clientOfOurs({ servers: broker.url });
    expect(await ask(client, { cmd: 'two words' })).toBe('two words');
  });

  it('patterns that NATS cannot have are refused in a sentence', async () => {
    const { client } = await served();
    for (const pattern of ['orders.*', 'orders.>', 'orders..value', ''])
      expect(await errorOf(ask(client, pattern))).toMatchObject({ code: 'INVALID_REQUEST' });
    const server = new DiptychServer({ servers: broker.url });
    server.addHandler('a..b', async () => undefined as never);
    let failure: unknown;
    await server.listen((error) => (failure = error));
    expect(failure).toMatchObject({ code: 'INVALID_REQUEST', message: expect.stringContaining('a..b') });
  });
});

describe('the connection', () => {
  it('is one for all servers and clients of a process; a link that is given is used, and left open', async () => {
    const monitorPort = await freePort();
    await broker.stop();
    broker = await startNatsServer({ args: ['-m', String(monitorPort)] });
    const connections = async () => {
      const answer = await fetch(`http://127.0.0.1:${monitorPort}/connz`);
      return ((await answer.json()) as { num_connections: number }).num_connections;
    };
    const options = { servers: broker.url, name: 'shop' };
    await apps.serveOurs(options);
    const first = await apps.clientOfOurs({ ...options, timeoutMs: 1_000 });
    const second = await apps.clientOfOurs(options);
    expect(await ask(first, 'orders.promise', 1)).toBe(2);
    expect(await ask(second, 'orders.promise', 2)).toBe(3);
    expect(await connections()).toBe(1);
    await first.close();
    expect(await ask(second, 'orders.promise', 3)).toBe(4);
    expect(await ask(first, 'orders.promise', 4)).toBe(5); // it connects again

    const link = await connectNats({ servers: broker.url, name: 'own' });
    const third = await apps.clientOfOurs({ link });
    expect(await ask(third, 'orders.promise', 4)).toBe(5);
    expect(third.unwrap()).toBe(link);
    await third.close();
    expect(link.status).toBe('connected');
    await link.close(0);
  });

  it('is waited for: an application may start before its broker', async () => {
    await broker.stop();
    const listening = apps.serveOurs({ servers: broker.url });
    const client = await apps.clientOfOurs({ servers: broker.url });
    const answer = errorOf(ask(client, 'orders.promise', 1));
    await broker.restart();
    await listening;
    const first = await answer;
    // The client may have been quicker than the server.
    if (first.code !== 'answered') expect(first).toMatchObject({ code: 'UNAVAILABLE' });
    expect(await ask(client, 'orders.promise', 1)).toBe(2);
  });

  it('that cannot be made fails listen and send, and the next send tries again', async () => {
    await broker.stop();
    await expect(apps.serveOurs({ servers: broker.url, connectTimeoutMs: 50 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const client = await apps.clientOfOurs({ servers: broker.url, connectTimeoutMs: 50 });
    expect(() => client.unwrap()).toThrow('not connected');
    expect(await errorOf(ask(client, 'orders.promise', 1))).toMatchObject({ code: 'UNAVAILABLE' });
    await broker.restart();
    // On a busy machine 50 ms may not be enough the first time.
    await waitFor(async () => {
      const error = await errorOf(ask(client, 'orders.promise', 1));
      return 'message' in error && error.message.includes('nobody');
    });
  });

  it('is waited for no longer than a message or an event has time, and not at all when the client is closed or nobody wants the answer', async () => {
    await broker.stop();
    const before = openHandles();
    const client = await apps.clientOfOurs({ servers: broker.url, connectTimeoutMs: 3_600_000, timeoutMs: 3_600_000 });
    const emit = (data: unknown) => errorOf(lastValueFrom(client.emit('orders.created', data)));
    const late = { code: 'DEADLINE_EXCEEDED', definite: true };
    expect(await errorOf(ask(client, 'orders.promise', record(1, 30)))).toMatchObject(late);
    expect(await emit(record('late', 30))).toMatchObject(late);
    expect(await errorOf(ask(client, 'orders.promise', record(1, Number.POSITIVE_INFINITY)))).toMatchObject({ code: 'INVALID_REQUEST' });
    expect(await errorOf(ask(client, 'orders.*'))).toMatchObject({ code: 'INVALID_REQUEST' });
    const waiting = deadlines.size;
    const unsubscribed = client.send('orders.hold', 'unsubscribed').subscribe();
    expect(deadlines.size).toBe(waiting + 1);
    unsubscribed.unsubscribe();
    expect(deadlines.size).toBe(waiting);

    // One of two who wait for the same connection.
    const other = await apps.clientOfOurs({ servers: broker.url, connectTimeoutMs: 3_600_000 });
    const others = other.connect();
    const ended = [errorOf(ask(client, 'orders.hold', 'closed')), emit('closed')];
    await client.close();
    for (const error of await Promise.all(ended)) expect(error).toMatchObject({ code: 'CANCELLED', definite: true });
    const again = [errorOf(ask(client, 'orders.hold', 'again')), emit('again')];
    await broker.restart();
    expect((await others).status).toBe('connected');
    // There is no server yet, and an event may go to nobody.
    expect(await Promise.all(again)).toMatchObject([{ code: 'UNAVAILABLE' }, { code: 'answered' }]);
    await apps.serveOurs({ servers: broker.url });
    expect(await ask(client, 'orders.promise', 1)).toBe(2);
    expect([...seen.hold.keys(), ...seen.events]).toEqual([]);

    // The last of all.
    await apps.closeAll();
    await broker.stop();
    const connecting = errorOf(client.connect());
    const server = new DiptychServer({ servers: broker.url, name: 'server', connectTimeoutMs: 3_600_000 });
    const listening = new Promise((resolve) => void server.listen(resolve));
    await Promise.all([client.close(), server.close()]);
    expect(await Promise.all([connecting, listening])).toMatchObject([{ code: 'UNAVAILABLE' }, { code: 'UNAVAILABLE' }]);
    await assertNoLeaks(before);
    await broker.restart();
  });

  it('that breaks ends calls in flight as CONNECTION_LOST, new ones and events at once; heals, and says all that', async () => {
    const app = await apps.serveOurs({ servers: broker.url });
    const client = await apps.clientOfOurs({ servers: broker.url });
    await client.connect();
    const heard: string[] = [];
    client.status.subscribe((status) => heard.push(`client ${status}`));
    app.status.subscribe((status: string) => heard.push(`server ${status}`));
    client.on('disconnect', () => heard.push('client on disconnect'));
    client.on('reconnect', () => heard.push('client on reconnect'));
    const held = errorOf(ask(client, 'orders.hold', 'a'));
    await waitFor(() => seen.hold.has('a'));
    await broker.kill();
    expect(await held).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(await errorOf(ask(client, 'orders.value'))).toMatchObject({ code: 'UNAVAILABLE', definite: true });
    expect(await errorOf(lastValueFrom(client.emit('orders.created', 'void')))).toMatchObject({ code: 'UNAVAILABLE' });
    await broker.restart();
    await waitFor(() => heard.filter((line) => line === 'client connected' || line === 'server connected').length === 4);
    expect(await ask(client, 'orders.promise', 1)).toBe(2);
    expect(heard.filter((line) => line.startsWith('client'))).toEqual([
      'client connected',
      ...['client disconnected', 'client on disconnect'],
      ...['client connected', 'client on reconnect'],
    ]);
    expect(seen.events).toEqual([]);
  });
});

describe('closing', () => {
  it('answers what was accepted, finishes events, and takes nothing new', async () => {
    const app = await apps.serveOurs({ servers: broker.url });
    const client = await apps.clientOfOurs({ servers: broker.url });
    const held = ask(client, 'orders.hold', 'a');
    await lastValueFrom(client.emit('orders.slow', 'event'));
    await waitFor(() => seen.hold.size === 2);
    let closed = false;
    const closing = app.close().then(() => (closed = true));
    await waitFor(async () => (await errorOf(ask(client, 'orders.value'))).code === 'UNAVAILABLE');
    expect(closed).toBe(false);
    seen.hold.get('a')!('answered');
    expect(await held).toBe('answered');
    expect(closed).toBe(false);
    seen.hold.get('event')!(undefined);
    await closing;
    expect(seen.events).toEqual(['event']);
  });

  it('waits no longer than it may, and then tells the work to stop and its caller so', async () => {
    const app = await apps.serveOurs({ servers: broker.url, drainMs: 50, onFault: () => undefined });
    const client = await apps.clientOfOurs({ servers: broker.url });
    const held = errorOf(ask(client, 'orders.await-signal', 'held'));
    await waitFor(() => seen.waiting === 1);
    await app.close();
    expect(await held).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(seen.aborted).toEqual(['held CONNECTION_LOST']);
  });

  it('the client ends its calls, and nothing of either is left open', async () => {
    const before = openHandles();
    const { app, client } = await served();
    const held = errorOf(ask(client, 'orders.hold', 'a'));
    await waitFor(() => seen.hold.has('a'));
    await client.close();
    expect(['CANCELLED', 'CONNECTION_LOST']).toContain((await held).code);
    seen.hold.get('a')!('late');
    await app.close();
    await apps.closeAll();
    await assertNoLeaks(before);
  });
});

describe('several servers', () => {
  it('share the messages of a pattern without being told to, and each gets each event, unless there is a queue', async () => {
    const [first, second] = [
      await apps.serveOurs({ servers: broker.url, name: 'first' }),
      await apps.serveOurs({ servers: broker.url, name: 'second' }),
    ];
    expect(first).not.toBe(second);
    const client = await apps.clientOfOurs({ servers: broker.url });
    await Promise.all(Array.from({ length: 20 }, () => ask(client, 'orders.context')));
    expect(seen.contexts).toHaveLength(20);
    client.emit('orders.created', 'to all');
    client.emit('orders.shared', 'to one');
    await lastValueFrom(client.emit('orders.created', 'end'));
    await waitFor(() => seen.events.filter((event) => event === 'end').length === 2);
    expect(seen.events.filter((event) => event === 'to all')).toHaveLength(2);
    expect(seen.events.filter((event) => event === 'to one')).toHaveLength(1);
  });

  it('with a queue share the events too', async () => {
    await apps.serveOurs({ servers: broker.url, queue: 'q', name: 'first' });
    await apps.serveOurs({ servers: broker.url, queue: 'q', name: 'second' });
    const client = await apps.clientOfOurs({ servers: broker.url });
    for (let i = 0; i < 20; i++) client.emit('orders.created', i);
    await waitFor(() => seen.events.length >= 20);
    await ask(client, 'orders.promise', 1);
    expect(seen.events.length).toBe(20);
  });
});

describe('clients that do not speak in frames', () => {
  let plain: NatsConnection;

  beforeEach(async () => {
    plain = await connect({ servers: broker.url });
  });

  afterEach(() => plain.close());

  it('ask in JSON, of any kind, and are answered in JSON', async () => {
    await served();
    const request = async (subject: string, data?: string) => (await plain.request(subject, data, { timeout: 5_000 })).json();
    expect(await request('orders.value', '{"a":1}')).toEqual({ given: { a: 1 } });
    expect(await request('orders.value', ' [1,2]')).toEqual({ given: [1, 2] });
    expect(await request('orders.value', '"text"')).toEqual({ given: 'text' });
    expect(await request('orders.promise', '1')).toBe(2);
    expect(await request('orders.value')).toEqual({});
    expect(await request('orders.nothing', '{}')).toBe(null);
    expect(await request('{"cmd":"sum","version":2}', '[1,2]')).toBe(3);
    expect(await request('wild.pear.price', '7')).toEqual({ subject: 'wild.pear.price', data: 7 });
  });

  it('are told errors in JSON, with the code in a header', async () => {
    await served();
    for (const [subject, data, code, error] of [
      ['orders.rpc-object', '1', 'INTERNAL', { details: { code: 'E_STOCK', left: 3, nested: { sku: 'a' } } }],
      ['orders.rpc-code', '1', 'NOT_FOUND', { code: 'NOT_FOUND', message: 'no such order', definite: true }],
      ['orders.value', '{"a":', 'INVALID_REQUEST', { code: 'INVALID_REQUEST' }],
      ['orders.value', '\u00d1garbage', 'INVALID_REQUEST', { code: 'INVALID_REQUEST' }],
    ] as const) {
      const reply = await plain.request(subject, data, { timeout: 5_000 });
      expect(reply.headers?.get('Diptych-Error')).toBe(code);
      expect(reply.json()).toMatchObject({ error });
    }
  });

  it('get several values as several messages, and see which is the last', async () => {
    await served();
    const inbox = createInbox();
    const answers: Array<[string, boolean]> = [];
    plain.subscribe(inbox, {
      callback: (_, message) => void answers.push([message.string(), message.headers?.get('Diptych-More') === 'true']),
    });
    plain.publish('orders.several', '3', { reply: inbox });
    plain.publish('orders.ticks', '2', { reply: inbox });
    await waitFor(() => answers.filter(([, more]) => !more).length === 2);
    expect(answers).toEqual([
      ['0', true],
      ['1', true],
      ['2', false],
      ['0', true],
      ['1', true],
      ['', false],
    ]);
  });

  it('pass headers, a trace, and how long they wait', async () => {
    await served();
    const headers = newHeaders();
    headers.set('tenant', 'a');
    headers.set('traceparent', TRACE);
    headers.set('Diptych-Timeout-Ms', '700');
    const reply = await plain.request('orders.context', '{}', { timeout: 5_000, headers });
    expect(reply.json()).toEqual({ subject: 'orders.context', tenant: 'a' });
    const context = seen.contexts[0] as DiptychContext;
    expect(context.traceparent).toBe(TRACE);
    expect(context.deadlineMs - systemClock.nowMs()).toBeLessThanOrEqual(700);
  });

  it('publish events in JSON', async () => {
    await served();
    plain.publish('orders.created', '{"id":1}');
    plain.publish('orders.created', '{"pattern":"orders.created","data":{"id":2}}');
    await waitFor(() => seen.events.length === 2);
    expect(seen.events).toEqual([{ id: 1 }, { id: 2 }]);
  });

  it("and Nest's own NATS client works as before, so that servers may change before clients do", async () => {
    await served();
    const stock = await apps.client(STOCK.client(broker.url));
    const all = (pattern: unknown, data: unknown) => lastValueFrom(stock.send<unknown, unknown>(pattern, data).pipe(toArray()));
    expect(await all('orders.value', { a: 1 })).toEqual([{ given: { a: 1 } }]);
    expect(await all({ cmd: 'sum', version: 2 }, [1, 2])).toEqual([3]);
    expect(await all('orders.several', 3)).toEqual([0, 1, 2]);
    expect(await all('orders.ticks', 2)).toEqual([0, 1]);
    expect(await all('orders.nothing', 1)).toEqual([]);
    expect(await errorOf(all('orders.rpc-text', 1))).toEqual({ status: 'error', message: 'no stock' });
    expect(await errorOf(all('orders.rpc-object', 1))).toEqual({ code: 'E_STOCK', left: 3, nested: { sku: 'a' } });
    expect(await errorOf(all('orders.unknown', 1))).toEqual({ status: 'error', message: 'Internal server error' });
    stock.emit('orders.created', 'of stock');
    await waitFor(() => seen.events.includes('of stock'));
  });
});

it('runs the hooks of instrumentation around the work', async () => {
  const server = new DiptychServer({ servers: broker.url, name: 'hooked' });
  const spans: string[] = [];
  server.setOnProcessingStartHook((_, context, done) => {
    spans.push(`begin ${(context as DiptychContext).getSubject()}`);
    void done();
  });
  server.setOnProcessingEndHook((_, context) => spans.push(`end ${(context as DiptychContext).getSubject()}`));
  await apps.serve({ strategy: server });
  const client = await apps.clientOfOurs({ servers: broker.url });
  expect(await ask(client, 'orders.promise', 1)).toBe(2);
  await errorOf(ask(client, 'orders.unknown'));
  expect(await lastValueFrom(client.send('orders.several', 2).pipe(toArray()))).toEqual([0, 1]);
  expect(spans).toEqual(['promise', 'unknown', 'several'].flatMap((name) => [`begin orders.${name}`, `end orders.${name}`]));
});

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
