import { describe, expect, it } from 'vitest';
import { serve } from './serve.js';

describe('GET /v1/keys', () => {
  it('pages through all keys in order', async () => {
    const { send } = await serve();
    const keys = ['', ' ', '/', 'a"b', 'a+b', 'ä', '\u0000', '\u2028', '💩', 'zz'].map((end) => `p${end}`);
    for (const key of [...keys, 'q']) await send('PUT', `/v1/keys/${encodeURIComponent(key)}`, { body: key });
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const query = new URLSearchParams({ prefix: 'p', limit: '3', ...(after === undefined ? {} : { after }) });
      const { status, headers, json } = await send('GET', `/v1/keys?${query.toString()}`);
      expect(status).toBe(200);
      expect(headers['content-type']).toBe('application/json');
      const page = json() as { keys: Array<{ key: string; bytes: number }>; next?: string };
      expect(page.keys.length).toBeLessThanOrEqual(3);
      for (const { key, bytes } of page.keys) expect(bytes).toBe(Buffer.byteLength(key));
      seen.push(...page.keys.map(({ key }) => key));
      after = page.next;
    } while (after !== undefined);
    expect(seen).toEqual([...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  });

  it('reads a plus sign in a query as forms write it', async () => {
    const { send } = await serve();
    await send('PUT', '/v1/keys/a+b');
    await send('PUT', '/v1/keys/a%20b');
    const keysOf = async (query: string) =>
      ((await send('GET', `/v1/keys?${query}`)).json()['keys'] as Array<{ key: string }>).map(({ key }) => key);
    expect(await keysOf('prefix=a+')).toEqual(['a b']);
    expect(await keysOf('prefix=a%2B')).toEqual(['a+b']);
  });

  it.each([
    'limit=0',
    'limit=-1',
    'limit=1e3',
    'limit=1000000000',
    'limit=1001',
    'limit=abc',
    'limit=',
    'limit',
    'limit=1.5',
    'limit=%31%30x',
    'limit=1&limit=1',
  ])('%s is refused', async (query) => {
    const { send } = await serve();
    const { status, json } = await send('GET', `/v1/keys?${query}`);
    expect(status).toBe(400);
    expect(json()).toMatchObject({ code: 'INVALID_REQUEST' });
  });

  it.each([
    'prefix=a&prefix=b',
    'Prefix=a',
    'prefix=%zz',
    'prefix=%FF',
    '%zz=a',
    'unknown=1',
    '__proto__=1',
    'prefix=a&limits=3',
    'prefix=#',
    'prefix=%',
  ])('%s is refused', async (query) => {
    const { send } = await serve();
    for (const path of ['/v1/keys', '/v1/report']) expect((await send('GET', `${path}?${query}`)).status).toBe(400);
  });

  it('takes a prefix as long as a key, and no longer', async () => {
    const { send } = await serve();
    expect((await send('GET', `/v1/keys?prefix=${'x'.repeat(1024)}&after=${'y'.repeat(1024)}`)).status).toBe(200);
    expect((await send('GET', `/v1/keys?prefix=${'x'.repeat(1025)}`)).status).toBe(413);
    expect((await send('GET', `/v1/keys?after=${'%C3%A9'.repeat(513)}`)).status).toBe(413);
    expect((await send('GET', '/v1/keys?&prefix=&&limit=1000&after=')).status).toBe(200);
    expect((await send('GET', '/v1/keys?')).status).toBe(200);
  });
});

describe('GET /v1/report', () => {
  it('has an entity tag that changes only with what is under the prefix', async () => {
    const { send } = await serve();
    await send('PUT', '/v1/keys/a1', { body: 'x' });
    const first = await send('GET', '/v1/report?prefix=a');
    expect(first.status).toBe(200);
    expect(first.json()).toMatchObject({ entries: 1, valueBytes: 1 });
    expect(first.json()).not.toHaveProperty('asOf');
    await send('PUT', '/v1/keys/b1', { body: 'x' });
    const same = await send('GET', '/v1/report?prefix=a', { headers: { 'if-none-match': `"x", W/${first.headers['etag']}` } });
    expect(same).toMatchObject({ status: 304, headers: { etag: first.headers['etag'] } });
    expect(same.headers['diptych-revision']).not.toBe(first.headers['diptych-revision']);
    await send('PUT', '/v1/keys/a2', { body: 'x' });
    const changed = await send('GET', '/v1/report?prefix=a', { headers: { 'if-none-match': first.headers['etag']! } });
    expect(changed.status).toBe(200);
    expect(changed.headers['etag']).not.toBe(first.headers['etag']);
  });
});
