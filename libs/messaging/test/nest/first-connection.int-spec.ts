import type { NatsServer } from '@diptych/testing';
import { waitFor } from '@diptych/testing';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NatsLink } from '../../src/index.js';
import { connectNats } from '../../src/index.js';
import type { DiptychClient } from '../../src/nest/index.js';
import { DiptychRecordBuilder, DiptychServer } from '../../src/nest/index.js';
import type { Outcome } from '../rig.js';
import { codeOf, outcomeOf } from '../rig.js';
import type { NestApps } from './nest-apps.js';
import { begin, end } from './nest-apps.js';
import { seen } from './orders.controller.js';

/** What waits while a client connects for the first time, and what may come between. */
let broker: NatsServer;
let apps: NestApps;

beforeEach(async () => void ({ broker, apps } = await begin()));
afterEach(() => end({ broker, apps }));

/** A client of a broker that is not there. It tries until the test ends. */
async function waitingClient(options: object = {}): Promise<DiptychClient> {
  await broker.stop();
  return apps.clientOfOurs({ servers: broker.url, connectTimeoutMs: 3_600_000, timeoutMs: 3_600_000, ...options });
}

/** Either way of sending. */
type Send = (client: DiptychClient, data: unknown) => Promise<unknown>;
const ask: Send = (client, data) => firstValueFrom(client.send<unknown>('orders.promise', data));
const emit: Send = (client, data) => lastValueFrom(client.emit('orders.created', data), { defaultValue: undefined });
const briefly = (data: unknown) => new DiptychRecordBuilder(data).setTimeoutMs(30).build();
const OVERLOADED: Partial<Outcome> = { code: 'OVERLOADED', definite: true };

describe.each([
  { what: 'messages', send: ask },
  { what: 'events', send: emit },
])('$what that wait for the first connection', ({ send }) => {
  it('are no more than may be in flight, and no larger; one more is OVERLOADED at once, until one has left', async () => {
    const client = await waitingClient({ bounds: { inFlightMax: 3, messageBytesMax: 2_000, inFlightBytesMax: 3_000 } });
    const ended = ['a', 'b'].map((data) => codeOf(send(client, data)));
    const brief = codeOf(send(client, briefly('brief')));
    expect(await outcomeOf(ask(client, 'one more'))).toMatchObject(OVERLOADED);
    expect(await outcomeOf(emit(client, 'one more'))).toMatchObject(OVERLOADED);
    expect(await brief).toBe('DEADLINE_EXCEEDED');
    expect(await outcomeOf(send(client, 'x'.repeat(2_001)))).toMatchObject({ code: 'TOO_LARGE', definite: true });
    const large = codeOf(send(client, 'x'.repeat(1_900)));
    await client.close();
    expect(await Promise.all([...ended, large])).toEqual(['CANCELLED', 'CANCELLED', 'CANCELLED']);
    // Of the same client that connects again nothing of that is counted.
    const again = ['x'.repeat(1_900), 'x'.repeat(1_000)].map((data) => codeOf(send(client, data)));
    expect(await outcomeOf(send(client, 'x'.repeat(1_000)))).toMatchObject(OVERLOADED);
    await client.close();
    expect(await Promise.all(again)).toEqual(['CANCELLED', 'CANCELLED']);
  });
});

describe('of two that wait for the same connection', () => {
  it('one may be closed at once, and the other goes on', async () => {
    const closed = await waitingClient();
    const other = await waitingClient();
    const outcome = outcomeOf(closed.connect());
    const others = other.connect();
    await closed.close();
    expect(await outcome).toMatchObject({ code: 'UNAVAILABLE', definite: true });
    await broker.restart();
    expect((await others).status).toBe('connected');
  });

  it('each has its own time, whichever came first; the last to give up says what stood in its way', async () => {
    const unreached = (why: string) => ({ code: 'UNAVAILABLE', message: expect.stringMatching(`within 100 ms \\(${why}`) as string });
    const patient = await waitingClient();
    const outcome = outcomeOf(patient.connect());
    for (let round = 0; round < 2; round++) {
      const hasty = await waitingClient({ connectTimeoutMs: 100 });
      expect(await outcomeOf(hasty.connect())).toMatchObject(unreached(round === 0 ? 'others of this process' : '(?!others)'));
      await patient.close();
    }
    expect(await outcome).toMatchObject({ code: 'UNAVAILABLE' });

    const hasty = await waitingClient({ connectTimeoutMs: 100 });
    const late = outcomeOf(hasty.connect());
    const others = patient.connect();
    expect(await late).toMatchObject(unreached('others of this process'));
    await broker.restart();
    expect((await others).status).toBe('connected');
  });
});

describe('as soon as there is a connection', () => {
  let link: NatsLink;

  beforeEach(async () => {
    await apps.serveOurs({ servers: broker.url });
    link = await connectNats({ servers: broker.url, name: 'own', connectTimeoutMs: 30_000 });
  });

  afterEach(() => link.close(0));

  it('events that waited for it go before those that are sent because of it', async () => {
    const client = await apps.clientOfOurs({ link });
    client.status.subscribe(() => client.emit('orders.created', 'by status'));
    for (let i = 0; i < 5; i++) client.emit('orders.created', i);
    await client.connect();
    client.emit('orders.created', 'last');
    await waitFor(() => seen.events.includes('last'), { timeoutMs: 60_000 });
    expect(seen.events).toEqual([0, 1, 2, 3, 4, 'by status', 'last']);
  });

  it('the client may be closed, and forgets how patterns are reached by it', async () => {
    const client = await apps.clientOfOurs({ servers: broker.url });
    for (let round = 0; round < 3; round++) {
      const outcome = codeOf(ask(client, 1));
      // One promise more, so that it goes on after those who wait for the connection themselves.
      await (async () => {
        await client.connect();
      })();
      await client.close();
      // Which of the two was first is not the point here.
      expect(['answered', 'CANCELLED', 'CONNECTION_LOST']).toContain(await outcome);
    }
    expect(await ask(client, 1)).toBe(2);
  });

  it('it can be used by who hears of it, or closed', async () => {
    const client = await apps.clientOfOurs({ link });
    const heard: unknown[] = [];
    const listening = client.status.subscribe((status) => heard.push(status, client.unwrap()));
    await client.connect();
    expect(heard).toEqual(['connected', link]);
    listening.unsubscribe();

    const closed = await apps.clientOfOurs({ link });
    let closing: Promise<void> | undefined;
    closed.status.subscribe(() => {
      closing ??= closed.close();
    });
    expect(await outcomeOf(closed.connect())).toMatchObject({ code: 'UNAVAILABLE', definite: true });
    await closing;
    expect(() => closed.unwrap()).toThrow('not connected');
    expect((await closed.connect()).status).toBe('connected');
    expect(await ask(closed, 1)).toBe(2);
  });
});

describe('a client that is closed', () => {
  it('again has closed no sooner than before; who listens meanwhile hears of the next connection', async () => {
    const client = await apps.clientOfOurs({ servers: broker.url });
    await client.connect();
    const order: string[] = [];
    const closing = ['first', 'second'].map((which) => client.close().then(() => order.push(which)));
    let heard = false;
    client.on('disconnect', () => (heard = true));
    await Promise.all(closing);
    expect(order).toEqual(['first', 'second']);
    const unending = new DiptychRecordBuilder(1).setTimeoutMs(Number.POSITIVE_INFINITY).build();
    for (const send of [ask, emit]) expect(await codeOf(send(client, unending))).toBe('INVALID_REQUEST');
    await client.connect();
    for (const send of [ask, emit]) expect(await codeOf(send(client, unending))).toBe('INVALID_REQUEST');
    await broker.kill();
    await waitFor(() => heard, { timeoutMs: 60_000 });
    await broker.restart();
  });
});

describe('a server that is closed while it begins to listen', () => {
  const listen = (server: DiptychServer) => new Promise((resolve) => void server.listen(resolve));
  const serverOf = (options: object) => {
    const server = new DiptychServer(options);
    server.addHandler('again', async () => Promise.resolve('served'));
    return server;
  };

  it('may listen again at once: the first is given up, the second serves, until it is closed', async () => {
    const server = serverOf({ servers: broker.url, name: 'again' });
    const first = listen(server);
    const closing = server.close();
    const second = listen(server);
    expect(await first).toMatchObject({ code: 'UNAVAILABLE', definite: true });
    expect(await second).toBeUndefined();
    await closing;
    const client = await apps.clientOfOurs({ servers: broker.url });
    expect(await firstValueFrom(client.send('again', 1))).toBe('served');
    expect(await listen(server)).toMatchObject({ code: 'INVALID_REQUEST' });
    expect(await firstValueFrom(client.send('again', 1))).toBe('served');
    await server.close();
    expect(await codeOf(firstValueFrom(client.send('again', 1)))).toBe('UNAVAILABLE');
  });

  it('has closed once what it had begun to serve is drained, for as long as any', async () => {
    const link = await connectNats({ servers: broker.url, name: 'own', connectTimeoutMs: 30_000 });
    const serve = link.serve.bind(link) as (...given: unknown[]) => ReturnType<NatsLink['serve']>;
    const drained: number[] = [];
    let goOn: (() => void) | undefined;
    vi.spyOn(link, 'serve').mockImplementation(async (...given) => {
      const responder = await serve(...given);
      const drain = responder.drain.bind(responder);
      vi.spyOn(responder, 'drain').mockImplementation((graceMs) => drain(graceMs).then(() => void drained.push(graceMs)));
      await new Promise<void>((resolve) => (goOn = resolve));
      return responder;
    });
    const server = serverOf({ link, drainMs: 1_234 });
    const listening = listen(server);
    await waitFor(() => goOn, { timeoutMs: 60_000 });
    const closed = server.close().then(() => [...drained]);
    goOn!();
    expect(await closed).toEqual([1_234]);
    expect(await listening).toMatchObject({ code: 'CANCELLED', definite: true });
    await link.close(0);
  });
});
