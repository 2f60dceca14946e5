import type { NatsServer } from '@diptych/testing';
import { startNatsServer, waitFor } from '@diptych/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { connect } from '@nats-io/transport-node';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DiptychClient, DiptychContext } from '../../src/nest/index.js';
import { DiptychServer } from '../../src/nest/index.js';
import { NestApps } from './nest-apps.js';
import { seen } from './orders.controller.js';

/** To whom messages go: to live servers of a pattern, wherever the broker would have given them to one of those, and else as without us. */
let broker: NatsServer;
let apps: NestApps;
let plain: NatsConnection;
/** The subjects of messages, in the order in which the broker gave them out. */
let subjects: string[];

beforeEach(async () => {
  broker = await startNatsServer();
  apps = new NestApps();
  plain = await connect({ servers: broker.url });
  subjects = [];
  plain.subscribe('>', { callback: (_, { subject, data }) => void (data[0] === 0xd1 && subjects.push(subject)) });
  await plain.flush();
});

afterEach(async () => {
  await apps.closeAll();
  await plain.close();
  await broker.stop();
  seen.clear();
});

const ask = (client: DiptychClient, pattern: string, data: unknown = 'x') => firstValueFrom(client.send<unknown>(pattern, data));
const isStraight = (subject: string) => subject.startsWith('diptych.nest.v1.');

/** Asks until that goes to an instance, and forgets what went where until then. */
async function untilStraight(client: DiptychClient, pattern: string, data?: unknown): Promise<void> {
  await waitFor(
    async () => {
      await ask(client, pattern, data);
      return isStraight(subjects.at(-1)!);
    },
    { what: `${pattern} goes straight to an instance` },
  );
  subjects.length = 0;
}

/** A server of these patterns alone, each answered with `name`. */
async function serve(name: string, queue: string | undefined, ...patterns: string[]): Promise<DiptychServer> {
  const server = new DiptychServer({ servers: broker.url, name, ...(queue === undefined ? {} : { queue }) });
  for (const pattern of patterns) {
    server.addHandler(pattern, async () => {
      seen.events.push(name);
      return name as never;
    });
  }
  await apps.serve({ strategy: server });
  return server;
}

const connected = async (options: object = {}) => {
  const client = await apps.clientOfOurs({ servers: broker.url, ...options });
  await client.connect();
  return client;
};

describe('a message', () => {
  it('goes straight to one of the servers of its pattern, and its handler cannot tell', async () => {
    await apps.serveOurs({ servers: broker.url, name: 'first' });
    await apps.serveOurs({ servers: broker.url, name: 'second' });
    const client = await connected();
    await untilStraight(client, 'orders.context');
    seen.contexts.length = 0;
    await Promise.all(Array.from({ length: 50 }, () => ask(client, 'orders.context')));
    // What the broker gave out before, the spy has read then.
    await plain.flush();
    expect(subjects.filter((subject) => !isStraight(subject))).toEqual([]);
    expect(new Set(subjects).size).toBe(2);
    expect(new Set(seen.contexts.map((context) => (context as DiptychContext).getSubject()))).toEqual(new Set(['orders.context']));
    expect(await ask(client, 'wild.pear.price', 7)).toEqual({ subject: 'wild.pear.price', data: 7 });
    await untilStraight(client, 'wild.pear.price', 7);
    expect(await ask(client, 'wild.pear.price', 7)).toEqual({ subject: 'wild.pear.price', data: 7 });
    await plain.flush();
    expect(subjects.map(isStraight)).toEqual([true]);
  });

  it('that went straight is cancelled there, and streams as any other', async () => {
    await apps.serveOurs({ servers: broker.url });
    const client = await connected();
    await untilStraight(client, 'orders.promise', 1);
    expect(await lastValueFrom(client.send('orders.ticks', 3).pipe(toArray()))).toEqual([0, 1, 2]);
    const waiting = client.send('orders.await-signal', 'it').subscribe();
    await waitFor(() => seen.waiting === 1);
    waiting.unsubscribe();
    await waitFor(() => seen.aborted.includes('it CANCELLED'));
    await plain.flush();
    expect(subjects.map(isStraight)).toEqual([true, true]);
  });

  it('goes only to servers that handle its pattern, as they come and go', async () => {
    const old = await serve('old', 'shop', 'shop.a');
    const client = await connected();
    await untilStraight(client, 'shop.a');
    await serve('new', 'shop', 'shop.a', 'shop.b');
    for (let i = 0; i < 20; i++) expect(await ask(client, 'shop.b')).toBe('new');
    await untilStraight(client, 'shop.b');
    const answers = new Set<unknown>();
    await waitFor(async () => answers.add(await ask(client, 'shop.a')).size === 2, { what: 'both answer' });
    await old.close();
    for (let i = 0; i < 20; i++) expect(await ask(client, 'shop.a')).toBe('new');
  });

  it('with nobody known goes to whoever the broker picks; so it does always when the client says so', async () => {
    await apps.serveOurs({ servers: broker.url });
    const first = await connected();
    expect(await ask(first, 'orders.promise', 1)).toBe(2);
    await plain.flush();
    expect(subjects).toEqual(['orders.promise']);
    await untilStraight(first, 'orders.promise', 1);
    const second = await connected({ liveRouting: false, name: 'second' });
    for (let i = 0; i < 20; i++) expect(await ask(second, 'orders.promise', 1)).toBe(2);
    await plain.flush();
    expect(subjects).toEqual(Array.from({ length: 20 }, () => 'orders.promise'));
    expect((await plain.request('orders.promise', '5', { timeout: 5_000 })).json()).toBe(6);
  });
});

describe('what the broker would give to more than one is left to it:', () => {
  it('a pattern with servers of two queue groups', async () => {
    await serve('left', 'one', 'shop.a', 'shop.other');
    const client = await connected();
    await untilStraight(client, 'shop.a');
    await serve('right', 'two', 'shop.a');
    await waitFor(async () => {
      await ask(client, 'shop.a');
      return !isStraight(subjects.at(-1)!);
    });
    seen.events.length = 0;
    await ask(client, 'shop.a');
    await waitFor(() => seen.events.length === 2);
    expect(seen.events.sort()).toEqual(['left', 'right']);
    // Of another pattern that is no concern.
    await untilStraight(client, 'shop.other');
  });

  it('a pattern that an event handler somewhere listens to', async () => {
    await serve('does', 'one', 'shop.a');
    const client = await connected();
    await untilStraight(client, 'shop.a');
    const audit = new DiptychServer({ servers: broker.url, name: 'audit' });
    const heard: unknown[] = [];
    audit.addHandler('shop.>', async (data: unknown) => heard.push(data) as never, true);
    await apps.serve({ strategy: audit });
    await waitFor(async () => {
      await ask(client, 'shop.a', 'looked at');
      return heard.length > 0;
    });
    expect(await ask(client, 'shop.a', 'as well')).toBeDefined();
    await waitFor(() => heard.includes('as well'));
  });
});
