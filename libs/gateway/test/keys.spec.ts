import { DiptychError } from '@diptych/kernel';
import { describe, expect, it } from 'vitest';
import { serve } from './serve.js';

const token = (revision: number) => `0123456789abcdef-0-${revision}`;
const tag = (revision: number) => `"${token(revision)}"`;

describe('an entry over HTTP', () => {
  it('is created, read, replaced and deleted, and every answer says of which state it is', async () => {
    const { send } = await serve();
    const created = await send('PUT', '/v1/keys/a', { body: 'one', headers: { 'content-type': 'text/plain' } });
    expect(created).toMatchObject({ status: 201, headers: { etag: tag(1), 'diptych-revision': token(1), 'content-length': '0' } });
    const read = await send('GET', '/v1/keys/a');
    expect(read.status).toBe(200);
    expect(read.body.toString()).toBe('one');
    expect(read.headers).toMatchObject({
      etag: tag(1),
      'diptych-revision': token(1),
      'content-type': 'text/plain',
      'content-length': '3',
      'x-content-type-options': 'nosniff',
      'content-security-policy': 'sandbox',
      'cache-control': 'no-cache',
    });
    const replaced = await send('PUT', '/v1/keys/a', { body: 'two' });
    expect(replaced).toMatchObject({ status: 204, headers: { etag: tag(2), 'diptych-revision': token(2) } });
    expect(replaced.headers['content-length']).toBeUndefined();
    expect((await send('GET', '/v1/keys/a')).headers['content-type']).toBe('application/octet-stream');
    const deleted = await send('DELETE', '/v1/keys/a');
    expect(deleted).toMatchObject({ status: 204, headers: { 'diptych-revision': token(3) } });
    const missing = await send('GET', '/v1/keys/a');
    expect(missing).toMatchObject({ status: 404, headers: { 'diptych-revision': token(3), 'content-type': 'application/problem+json' } });
    expect(missing.json()).toMatchObject({ code: 'NOT_FOUND', status: 404, definite: true });
    const again = await send('DELETE', '/v1/keys/a');
    expect(again).toMatchObject({ status: 404, headers: { 'diptych-revision': token(4) } });
  });

  it('has the same headers for HEAD as for GET, and no body', async () => {
    const { send, raw } = await serve();
    await send('PUT', '/v1/keys/a', { body: 'value' });
    for (const path of ['/v1/keys/a', '/v1/keys/missing', '/v1/keys', '/v1/report', '/openapi.json', '/v1/keys/a?x']) {
      const get = await send('GET', path);
      const head = await send('HEAD', path);
      const { date: _one, ...got } = get.headers;
      const { date: _two, ...headed } = head.headers;
      expect(head.status).toBe(get.status);
      expect(headed).toEqual(got);
      expect(Number(headed['content-length'])).toBe(get.body.length);
      const bytes = await raw(`HEAD ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect(bytes.endsWith('\r\n\r\n')).toBe(true);
    }
  });

  it.each([
    ['any bytes', Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
    ['nothing', Buffer.alloc(0)],
    ['more than goes into one write', Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) % 256))],
    ['the most there may be', Buffer.alloc(1_000_000, 'x')],
    ['broken JSON', Buffer.from('{"a":')],
  ])('may hold %s', async (_, value) => {
    const { send } = await serve();
    expect((await send('PUT', '/v1/keys/v', { body: value, headers: { 'content-type': 'application/json' } })).status).toBe(201);
    const { body, headers } = await send('GET', '/v1/keys/v');
    expect(body.equals(value)).toBe(true);
    expect(headers['content-length']).toBe(String(value.length));
  });

  it('is empty when the request has no body at all', async () => {
    const { raw, log } = await serve();
    expect(await raw('PUT /v1/keys/e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 201 /);
    expect(log.entries.get('e')!.value).toHaveLength(0);
  });

  it.each(['text/html', 'application/json; charset=utf-8', 'garbage', 'a/b/c', 'x'.repeat(256), '; = "'])(
    'keeps the content type %s',
    async (contentType) => {
      const { send } = await serve();
      expect((await send('PUT', '/v1/keys/t', { body: '{', headers: { 'content-type': contentType } })).status).toBe(201);
      expect((await send('GET', '/v1/keys/t')).headers['content-type']).toBe(contentType.trim());
    },
  );

  it('never sends a stored content type that would not be a header', async () => {
    const { send, log } = await serve();
    log.entries.set('x', { key: 'x', value: Buffer.from('v'), contentType: 'a\r\nSet-Cookie: b', revision: 1 });
    const { status, headers } = await send('GET', '/v1/keys/x');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('application/octet-stream');
    expect(headers['set-cookie']).toBeUndefined();
  });
});

describe('conditions', () => {
  it('If-None-Match: * creates once', async () => {
    const { send } = await serve();
    const put = () => send('PUT', '/v1/keys/a', { body: 'x', headers: { 'if-none-match': '*' } });
    expect((await put()).status).toBe(201);
    const refused = await put();
    expect(refused).toMatchObject({ status: 412, headers: { 'diptych-revision': token(1) } });
    expect(refused.json()).toMatchObject({ code: 'CONFLICT', definite: true });
  });

  it('If-Match replaces and deletes what it names, and nothing else', async () => {
    const { send, log } = await serve();
    await send('PUT', '/v1/keys/a', { body: '1' });
    const put = (ifMatch: string) => send('PUT', '/v1/keys/a', { body: 'x', headers: { 'if-match': ifMatch } });
    expect((await put(tag(7))).status).toBe(412);
    expect((await put(`W/${tag(1)}`)).status).toBe(412);
    expect((await put('"of-another-system"')).status).toBe(412);
    expect((await put(`"${'f'.repeat(16)}-0-1"`)).status).toBe(412);
    expect(log.revision).toBe(1);
    expect((await put(`"nothing", W/${tag(9)},, ${tag(1)}`)).status).toBe(204);
    expect((await put('*')).status).toBe(204);
    expect((await send('DELETE', '/v1/keys/a', { headers: { 'if-match': tag(1) } })).status).toBe(412);
    expect((await send('DELETE', '/v1/keys/a', { headers: { 'if-match': tag(3) } })).status).toBe(204);
    expect((await send('DELETE', '/v1/keys/a', { headers: { 'if-match': '*' } })).status).toBe(412);
    expect((await put('*')).status).toBe(412);
    expect((await put(tag(3))).headers['diptych-revision']).toBe(token(4));
  });

  it('several If-Match headers are one list', async () => {
    const { send } = await serve();
    await send('PUT', '/v1/keys/a', { body: '1' });
    const headers = ['Host', 'x', 'If-Match', tag(5), 'If-Match', tag(1), 'Content-Length', '0'];
    expect((await send('PUT', '/v1/keys/a', { headers })).status).toBe(204);
  });

  it('takes 16 entity tags and not 17', async () => {
    const { send } = await serve();
    await send('PUT', '/v1/keys/a', { body: '1' });
    const list = (n: number) => Array.from({ length: n }, (_, i) => tag(n - i)).join(', ');
    expect((await send('PUT', '/v1/keys/a', { headers: { 'if-match': list(17) } })).status).toBe(400);
    expect((await send('PUT', '/v1/keys/a', { headers: { 'if-match': list(16) } })).status).toBe(204);
  });

  it.each([
    ['PUT', { 'if-match': '*', 'if-none-match': '*' }],
    ['PUT', { 'if-none-match': tag(1) }],
    ['PUT', { 'if-none-match': `W/${tag(1)}` }],
    ['PUT', { 'if-match': 'unquoted' }],
    ['PUT', { 'if-match': `*, ${tag(1)}` }],
    ['PUT', { 'if-match': `${tag(1)} ${tag(2)}` }],
    ['PUT', { 'if-match': '' }],
    ['PUT', { 'if-match': ',' }],
    ['DELETE', { 'if-none-match': '*' }],
    ['DELETE', { 'if-match': 'w/"a"' }],
    ['GET', { 'if-none-match': 'unquoted' }],
  ])('%s with %o breaks the contract', async (method, headers) => {
    const { send, log } = await serve();
    await send('PUT', '/v1/keys/a', { body: '1' });
    const { status, json } = await send(method, '/v1/keys/a', { headers });
    expect(status).toBe(400);
    expect(json()).toMatchObject({ code: 'INVALID_REQUEST', definite: true });
    expect(log.revision).toBe(1);
  });

  it('If-None-Match of a read is answered with 304, comparing weakly', async () => {
    const { send } = await serve();
    await send('PUT', '/v1/keys/a', { body: '1' });
    for (const header of [tag(1), `W/${tag(1)}`, '*', `"x", ${tag(1)}`, `"x" , W/${tag(1)} ,`]) {
      const { status, headers, body } = await send('GET', '/v1/keys/a', { headers: { 'if-none-match': header } });
      expect(status, header).toBe(304);
      expect(headers).toMatchObject({ etag: tag(1), 'diptych-revision': token(1) });
      expect(body).toHaveLength(0);
    }
    expect((await send('GET', '/v1/keys/a', { headers: { 'if-none-match': '"x"' } })).status).toBe(200);
    expect((await send('GET', '/v1/keys/missing', { headers: { 'if-none-match': '*' } })).status).toBe(404);
  });

  it('If-Match of a read holds or is 412', async () => {
    const { send } = await serve();
    await send('PUT', '/v1/keys/a', { body: '1' });
    const get = async (key: string, header: string) => (await send('GET', `/v1/keys/${key}`, { headers: { 'if-match': header } })).status;
    expect(await get('a', tag(1))).toBe(200);
    expect(await get('a', '*')).toBe(200);
    expect(await get('a', tag(2))).toBe(412);
    expect(await get('a', `W/${tag(1)}`)).toBe(412);
    expect(await get('missing', '*')).toBe(412);
  });

  it('a failed write still says so when the state that refused it cannot be read', async () => {
    const { send, log } = await serve();
    log.failures.push(new DiptychError('CONFLICT', 'no'), new DiptychError('UNAVAILABLE', 'gone'));
    const { status, headers } = await send('PUT', '/v1/keys/a', { headers: { 'if-match': tag(1) } });
    expect(status).toBe(412);
    expect(headers['diptych-revision']).toBeUndefined();
  });
});

describe('Idempotency-Key', () => {
  it('gives a repeat the first answer and changes nothing', async () => {
    const { send, log } = await serve();
    const put = (path: string, body: string) => send('PUT', path, { body, headers: { 'idempotency-key': 'once' } });
    expect(await put('/v1/keys/a', '1')).toMatchObject({ status: 201, headers: { etag: tag(1) } });
    expect(await put('/v1/keys/a', '1')).toMatchObject({ status: 201, headers: { etag: tag(1) } });
    for (const other of [() => put('/v1/keys/a', '2'), () => put('/v1/keys/b', '1')]) {
      const { status, json } = await other();
      expect(status).toBe(400);
      expect(json()).toMatchObject({ code: 'INVALID_REQUEST' });
    }
    expect((await send('DELETE', '/v1/keys/a', { headers: { 'idempotency-key': 'once' } })).status).toBe(400);
    expect(log.revision).toBe(1);
  });

  it('gives the repeat of a DELETE its first answer', async () => {
    const { send } = await serve();
    await send('PUT', '/v1/keys/a', { body: '1' });
    const remove = () => send('DELETE', '/v1/keys/a', { headers: { 'idempotency-key': 'gone' } });
    expect((await remove()).status).toBe(204);
    await send('PUT', '/v1/keys/a', { body: '2' });
    expect(await remove()).toMatchObject({ status: 204, headers: { 'diptych-revision': token(2) } });
    expect((await send('GET', '/v1/keys/a')).body.toString()).toBe('2');
  });

  it('is new for each write that has none', async () => {
    const { send, log } = await serve();
    await send('PUT', '/v1/keys/a', { body: '1' });
    await send('PUT', '/v1/keys/a', { body: '1' });
    expect(log.revision).toBe(2);
    expect(new Set(log.answers.keys()).size).toBe(2);
  });

  it.each([['a b'], ['x'.repeat(129)], [''], ['\u00e9'], [['one', 'two']]])('%j is refused', async (key) => {
    const { send, log } = await serve();
    expect((await send('PUT', '/v1/keys/a', { headers: { 'idempotency-key': key } })).status).toBe(400);
    expect((await send('DELETE', '/v1/keys/a', { headers: { 'idempotency-key': key } })).status).toBe(400);
    expect(log.revision).toBe(0);
  });

  it('may have 128 characters', async () => {
    const { send } = await serve();
    expect((await send('PUT', '/v1/keys/a', { headers: { 'idempotency-key': '~'.repeat(128) } })).status).toBe(201);
  });
});

describe('Diptych-Revision of a read', () => {
  it('goes to the cache', async () => {
    const { send, cache } = await serve();
    await send('GET', '/v1/keys/a', { headers: { 'diptych-revision': `${'a'.repeat(16)}-3-12` } });
    expect(cache.requests).toEqual([{ key: 'a', token: { incarnation: 'a'.repeat(16), partition: 3, revision: 12 } }]);
  });

  it.each([[''], ['x'], [tag(1)], [`${token(1)} `.repeat(2)], [[token(1), token(2)]], [`${token(1)}0000000000000000`]])(
    '%j is refused',
    async (value) => {
      const { send } = await serve();
      const { status, json } = await send('GET', '/v1/keys/a', { headers: { 'diptych-revision': value } });
      expect(status).toBe(400);
      expect(json()).toMatchObject({ code: 'INVALID_REQUEST' });
    },
  );

  it('comes back as it was where the entry shown is older, so that the newest one never goes back', async () => {
    const { send, log } = await serve();
    for (const key of ['a', 'b', 'a']) await send('PUT', `/v1/keys/${key}`, { body: key });
    const seen = { 'diptych-revision': token(3) };
    const answered = async (method: string, path: string, headers: Record<string, string> = {}) => {
      const answer = await send(method, path, { headers: { ...seen, ...headers } });
      return [answer.status, answer.headers['etag'], answer.headers['diptych-revision']];
    };
    expect(await answered('GET', '/v1/keys/b')).toEqual([200, tag(2), token(3)]);
    expect(await answered('HEAD', '/v1/keys/b')).toEqual([200, tag(2), token(3)]);
    expect(await answered('GET', '/v1/keys/b', { 'if-none-match': tag(2) })).toEqual([304, tag(2), token(3)]);
    expect(await answered('GET', '/v1/keys/b', { 'if-match': tag(1) })).toEqual([412, undefined, token(3)]);
    log.revision = 2;
    expect(await answered('GET', '/v1/keys/missing')).toEqual([404, undefined, token(3)]);
    log.revision = 3;
    expect(await answered('GET', '/v1/keys/b', { 'diptych-revision': token(1) })).toEqual([200, tag(2), token(2)]);
    const elsewhere = { 'diptych-revision': `${'a'.repeat(16)}-0-9` };
    expect(await answered('GET', '/v1/keys/b', elsewhere)).toEqual([200, tag(2), token(2)]);
  });

  it('never goes back with a write either: refused, repeated or done', async () => {
    const { send } = await serve();
    const put = (path: string, headers: Record<string, string>) => send('PUT', path, { body: '1', headers });
    await put('/v1/keys/b', { 'idempotency-key': 'once' });
    await put('/v1/keys/a', {});
    const refused = await put('/v1/keys/b', { 'if-match': '"other"' });
    expect(refused).toMatchObject({ status: 412, headers: { 'diptych-revision': token(2) } });
    const repeated = await put('/v1/keys/b', { 'idempotency-key': 'once', 'diptych-revision': token(2) });
    expect(repeated).toMatchObject({ status: 201, headers: { etag: tag(1), 'diptych-revision': token(2) } });
    const done = await send('DELETE', '/v1/keys/b', { headers: { 'diptych-revision': token(2) } });
    expect(done).toMatchObject({ status: 204, headers: { 'diptych-revision': token(3) } });
    expect((await put('/v1/keys/b', { 'diptych-revision': 'nonsense' })).status).toBe(400);
  });
});
