import { Lifetime, within } from '@diptych/kernel';
import type { LogPort } from '@diptych/log';
import { logPort, openFileLog } from '@diptych/log';
import { connectNats } from '@diptych/messaging';
import { startNatsServer, tempDir, waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { CoherentCache } from '../src/engine/coherent-cache.js';

/*
 * Goal: the cache of the services keeps its promises with the log behind a real broker: bounded staleness, read-your-writes
 * with a token, and a way back after the broker was gone.
 *
 * Method: the file log answers over one connection, the cache reads and follows it over another.
 */
const MAX_STALE_MS = 500;
const closings: Array<() => unknown> = [];
afterEach(async () => {
  for (let close = closings.pop(); close; close = closings.pop()) await close();
});

async function open() {
  const broker = await startNatsServer();
  closings.push(() => broker.stop());
  const directory = await tempDir();
  closings.push(() => directory.remove());
  const fileLog = await openFileLog({ directory: directory.path });
  closings.push(() => fileLog.close());
  const server = await connectNats({ servers: broker.url, name: 'log' });
  closings.push(() => server.close(1_000));
  await server.serve<LogPort>(logPort, fileLog);
  const link = await connectNats({ servers: broker.url, name: 'cache' });
  closings.push(() => link.close(1_000));
  const lifetime = new Lifetime('test');
  const cache = await CoherentCache.open(link.client(logPort), {
    lifetime,
    entriesMax: 1_000,
    bytesMax: 10_000_000,
    maxStaleMs: MAX_STALE_MS,
    flightTimeoutMs: 2_000,
    flightsMax: 1_000,
  });
  closings.push(() => lifetime.close());
  let requests = 0;
  const put = async (key: string, value: string) => {
    const mutation = { kind: 'put', key, value: Buffer.from(value), contentType: 'text/plain' } as const;
    return (await fileLog.append({ mutation, requestId: String(++requests) }, within(10_000))).position;
  };
  const get = async (key: string) => {
    const { entry, hit } = await cache.get({ key }, within(2_000));
    return { value: entry && Buffer.from(entry.value).toString(), hit };
  };
  return { broker, cache, put, get };
}

describe('the cache over NATS from the log', () => {
  it('hears of commits, and answers from memory meanwhile', async () => {
    const { put, get } = await open();
    await put('a', 'one');
    await waitFor(async () => (await get('a')).hit, { what: 'a hit' });
    await put('a', 'two');
    await waitFor(async () => (await get('a')).value === 'two', { what: 'the new value' });
    await waitFor(async () => (await get('a')).hit, { what: 'a hit of the new value' });
  });

  it('shows a client with a token its own writes, at once, with many at it', async () => {
    const { cache, put } = await open();
    const client = async (number: number) => {
      for (let i = 0; i < 50; i++) {
        const key = `key ${(number + i) % 4}`;
        const token = await put(key, `${number}.${i}`);
        const { entry, asOf } = await cache.get({ key, token }, within(10_000));
        expect(entry?.revision).toBeGreaterThanOrEqual(token.revision);
        expect(asOf.revision).toBeGreaterThanOrEqual(token.revision);
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, number) => client(number)));
    expect(cache.counts().gaps).toBe(0);
  });

  it('without the broker answers for a while, then refuses, and comes back knowing what it missed', async () => {
    const { broker, cache, put, get } = await open();
    await put('a', 'one');
    await put('b', 'one');
    await waitFor(async () => (await get('a')).hit && (await get('b')).hit, { what: 'hits' });
    await broker.kill();
    await put('a', 'two');
    await waitFor(
      () =>
        get('a').then(
          () => false,
          ({ code }) => code === 'UNAVAILABLE',
        ),
      { what: 'a refusal' },
    );
    expect(cache.behindMs).toBeGreaterThan(MAX_STALE_MS);
    await broker.restart();
    await waitFor(async () => (await get('b')).hit, { what: 'a hit of what did not change', timeoutMs: 20_000 });
    expect((await get('a')).value).toBe('two');
    expect(cache.counts().resyncs).toBe(1);
  });
});
