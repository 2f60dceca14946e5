import '../overwrite-lent.js';
import type { NatsServer } from '@diptych/testing';
import { startNatsServer, waitFor } from '@diptych/testing';
import type { ClientProxy } from '@nestjs/microservices';
import { NatsRecordBuilder } from '@nestjs/microservices';
import { headers as newHeaders } from '@nats-io/transport-node';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { NestApps, OURS, STOCK } from './nest-apps.js';
import { seen } from './orders.controller.js';

const isA = (name: string) => (error: unknown) => (error as Error).constructor.name === name;

/** One application over Nest's own NATS transport and over ours. Where they differ on purpose the case says so by `differs`. */
describe.each([STOCK, OURS])('a Nest application over $name', (transport) => {
  const differs = transport === OURS;
  let broker: NatsServer;
  let apps: NestApps;
  let client: ClientProxy;

  beforeAll(async () => {
    broker = await startNatsServer();
    apps = new NestApps();
    await apps.serve(transport.server(broker.url));
    client = await apps.client(transport.client(broker.url));
    await client.connect();
  });

  afterAll(async () => {
    await apps.closeAll();
    await broker.stop();
  });

  afterEach(() => seen.clear());

  const send = (pattern: unknown, data: unknown) => firstValueFrom(client.send<unknown, unknown>(pattern, data));
  const all = (pattern: unknown, data: unknown) => lastValueFrom(client.send<unknown, unknown>(pattern, data).pipe(toArray()));
  const errorOf = async (pattern: unknown, data: unknown) =>
    all(pattern, data).then(
      (values) => ({ values }),
      (error: unknown) => error,
    );

  it.each([
    ['orders.value', { a: [1, 'é', null, true, { b: 2.5 }] }, { given: { a: [1, 'é', null, true, { b: 2.5 }] } }],
    ['orders.value', 0, { given: 0 }],
    ['orders.value', '', { given: '' }],
    ['orders.value', false, { given: false }],
    ['orders.value', [], { given: [] }],
    ['orders.value', ['a', { b: 1 }], { given: ['a', { b: 1 }] }],
    ['orders.value', { pattern: 'p', data: 'd' }, { given: { pattern: 'p', data: 'd' } }],
    ['orders.field', { name: 'x' }, 'x'],
    ['orders.field', {}, 'none'],
    ['orders.promise', 1, 2],
    ['orders.observable', 1, 3],
    ['orders.null', 'x', null],
    ['orders.either', 'x', 'either'],
    ['orders.or', 'x', 'either'],
    [42, 'x', 'numeric'],
    [{ cmd: 'sum', version: 2 }, [1, 2, 3], 6],
    [{ version: 2, cmd: 'sum' }, [4], 4],
    ['wild.apple.price', 1, { subject: 'wild.apple.price', data: 1 }],
    ['orders.piped', 21, 42],
    ['orders.guarded', { allowed: true }, 'allowed'],
    ['orders.intercepted', 'x', { wrapped: 'x', by: 'intercepted' }],
  ])('answers %j with %j by %j', async (pattern, data, answer) => {
    expect(await all(pattern, data)).toEqual([answer]);
  });

  it.each([
    ['orders.several', 3, [0, 1, 2]],
    ['orders.several', 0, []],
    ['orders.several', 200, Array.from({ length: 200 }, (_, i) => i)],
    ['orders.ticks', 4, [0, 1, 2, 3]],
    ['orders.empty', 'x', []],
    ['orders.nothing', 'x', []],
  ])('gives all values of %j of %j, in order, then completes', async (pattern, data, values) => {
    expect(await all(pattern, data)).toEqual(values);
  });

  it.each([
    ['orders.rpc-text', 'x', { status: 'error', message: 'no stock' }],
    ['orders.rpc-object', 'x', { code: 'E_STOCK', left: 3, nested: { sku: 'a' } }],
    ['orders.unknown', 'x', { status: 'error', message: 'Internal server error' }],
    // Without DiptychErrorFilter it is an exception that Nest does not know.
    ['orders.diptych-error', 'x', { status: 'error', message: 'Internal server error' }],
    ['orders.piped', 'no number', { status: 'error', message: 'a number is wanted' }],
    ['orders.guarded', {}, { status: 'error', message: 'Forbidden resource' }],
    ['orders.filtered', 'x', { filtered: 'out of range', data: 'x' }],
  ])('gives what the exception filter made: %s of %j', async (pattern, data, error) => {
    expect(await errorOf(pattern, data)).toEqual(error);
  });

  it('keeps the order of a stream, whatever the sizes of its values and however many streams there are', async () => {
    const counts = [1, 2, 3, 4, 99, 100, 101];
    const streams = await Promise.all(counts.map((count) => all('orders.mixed', count)));
    for (const [i, values] of streams.entries())
      expect(values.map((value) => Number.parseInt(String(value)))).toEqual(Array.from({ length: counts[i]! }, (_, n) => n));
  });

  it('gives the values of a stream before its error', async () => {
    const values: unknown[] = [];
    const error = await new Promise((resolve) => {
      client.send<unknown, unknown>('orders.fail-late', 3).subscribe({ next: (value) => values.push(value), error: resolve });
    });
    expect(values).toEqual([0, 1, 2]);
    expect(error).toEqual({ status: 'error', message: 'enough' });
  });

  it('makes a controller of request scope for each message', async () => {
    const [first, second] = [Number(await send('orders.scoped', 'x')), Number(await send('orders.scoped', 'x'))];
    expect(second).toBe(first + 1);
  });

  it('is cold: nothing is sent until somebody subscribes, and each subscription is a call', async () => {
    const call = client.send<unknown, unknown>('orders.context', 'x');
    expect(seen.contexts).toHaveLength(0);
    await firstValueFrom(call);
    await firstValueFrom(call);
    expect(seen.contexts).toHaveLength(2);
  });

  it('refuses a message without data or pattern', async () => {
    expect(await errorOf('orders.value', undefined)).toSatisfy(isA('InvalidMessageException'));
    expect(await errorOf(null, 'x')).toSatisfy(isA('InvalidMessageException'));
  });

  it('carries headers of a NatsRecord, and tells the handler the subject', async () => {
    const fields = newHeaders();
    fields.set('tenant', 'a');
    const record = new NatsRecordBuilder({ id: 1 }).setHeaders(fields).build();
    expect(await send('orders.context', record)).toEqual({ subject: 'orders.context', tenant: 'a' });
    expect(await send('orders.context', { id: 1 })).toEqual({ subject: 'orders.context', tenant: null });
  });

  it('gives an event to every handler of its pattern, without anybody subscribing', async () => {
    client.emit('orders.created', { id: 1 });
    await waitFor(() => seen.events.length === 1 && seen.others.length === 1);
    expect([seen.events, seen.others]).toEqual([[{ id: 1 }], [{ id: 1 }]]);
    await lastValueFrom(client.emit('orders.failing', 'x'));
    await waitFor(() => seen.events.includes('failing'));
  });

  it('says at once when nobody handles a pattern', async () => {
    const error = await errorOf('orders.nobody', 'x');
    if (differs) expect(error).toMatchObject({ code: 'UNAVAILABLE', definite: true });
    else expect(error).toSatisfy(isA('EmptyResponseException'));
  });

  it('carries bytes: as bytes, where JSON makes an object of them', async () => {
    const answer = await send('orders.value', { bytes: new Uint8Array([1, 2, 255]) });
    expect(answer).toEqual({ given: { bytes: differs ? new Uint8Array([1, 2, 255]) : { 0: 1, 1: 2, 2: 255 } } });
  });

  it('carries dates as dates, where JSON makes text of them', async () => {
    const answer = await send('orders.value', new Date(5));
    expect(answer).toEqual({ given: differs ? new Date(5) : '1970-01-01T00:00:00.005Z' });
  });

  it('ends the work of a caller who unsubscribes; with stock it goes on', async () => {
    const never = client.send<unknown, unknown>('orders.never', 'x').subscribe();
    await waitFor(() => seen.waiting === 1);
    never.unsubscribe();
    await send('orders.value', 'after');
    if (differs) await waitFor(() => seen.unsubscribed === 1);
    else expect(seen.unsubscribed).toBe(0);
  });
});
