import { describe, expect, it } from 'vitest';
import { serve } from './serve.js';

describe('the key in the path is taken as it is written', () => {
  it.each([
    ['.', '.'],
    ['..', '..'],
    ['%2e%2e', '..'],
    ['%2E', '.'],
    ['../../etc/passwd', '../../etc/passwd'],
    ['a/b', 'a/b'],
    ['a%2Fb', 'a/b'],
    ['/a', '/a'],
    ['a//b', 'a//b'],
    ['a/', 'a/'],
    ['/', '/'],
    ['%2F', '/'],
    ['a+b', 'a+b'],
    ['a%2Bb', 'a+b'],
    ['a%20b', 'a b'],
    ['a;b=c', 'a;b=c'],
    ['a:b@c!$&()*,', 'a:b@c!$&()*,'],
    ['%3Fq', '?q'],
    ['%23f', '#f'],
    ['%25', '%'],
    ['%2525', '%25'],
    ['%252F', '%2F'],
    ['%00', '\0'],
    ['%0D%0A', '\r\n'],
    ['%7F', '\x7f'],
    ['%C3%A9', 'é'],
    ['e%CC%81', 'e\u0301'],
    ['%F0%9F%92%A9', '💩'],
    ['%EF%BB%BF', '\ufeff'],
    ['%EF%BF%BF', '\uffff'],
    ['"<>{}|\\^`', '"<>{}|\\^`'],
    ['__proto__', '__proto__'],
    ['constructor', 'constructor'],
  ])('%s', takesTheKey);

  it.each([
    ['x', 1024],
    ['%61', 1024],
    ['%C3%A9', 512],
    ['%F0%9F%92%A9', 256],
  ])('%s, %d times: 1,024 bytes', (path, times) => takesTheKey(path.repeat(times), decodeURIComponent(path).repeat(times)));

  async function takesTheKey(path: string, key: string): Promise<void> {
    const { send, log } = await serve();
    expect((await send('PUT', `/v1/keys/${path}`, { body: key })).status).toBe(201);
    expect([...log.entries.keys()]).toEqual([key]);
    expect((await send('GET', `/v1/keys/${path}`)).body.toString()).toBe(key);
    const list = (await send('GET', '/v1/keys')).json();
    expect(list).toEqual({ keys: [{ key, revision: 1, bytes: Buffer.byteLength(key) }] });
    expect((await send('DELETE', `/v1/keys/${path}`)).status).toBe(204);
  }

  it.each([
    ['', 400],
    ['%', 400],
    ['%2', 400],
    ['%zz', 400],
    ['a%', 400],
    ['%u0041', 400],
    ['%FF', 400],
    ['%C3', 400],
    ['%C3%28', 400],
    ['%C0%AF', 400], // overlong
    ['%ED%A0%80', 400], // a surrogate
    ['%F4%90%80%80', 400], // beyond Unicode
    ['a?', 400],
    ['a?b=c', 400],
    ['?prefix=a', 400],
    ['a#b', 400],
  ])('%s is refused with %d, whatever the method', refuses);

  it.each([
    ['x', 1025],
    ['%61', 1025],
    ['%C3%A9', 513],
    ['%F0%9F%92%A9', 257],
    ['x', 10_000],
  ])('%s, %d times, is too large', (path, times) => refuses(path.repeat(times), 413));

  async function refuses(path: string, status: number): Promise<void> {
    const { send, raw, log } = await serve();
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await send(method, `/v1/keys/${path}`, method === 'PUT' ? { body: 'x' } : {});
      expect(answer.status).toBe(status);
      expect(answer.headers['content-type']).toBe('application/problem+json');
      expect(answer.json()).toMatchObject({ status, code: status === 413 ? 'TOO_LARGE' : 'INVALID_REQUEST', definite: true });
    }
    expect(log.revision).toBe(0);
    expect(await raw(`HEAD /v1/keys/${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  }

  it('refuses bytes that are not ASCII and not escaped', async () => {
    const { raw, log } = await serve();
    const answer = await raw(Buffer.from('PUT /v1/keys/é HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'));
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(log.revision).toBe(0);
  });

  it('takes the absolute form of a target', async () => {
    const { raw, log } = await serve();
    await raw('PUT http://example.test:81/v1/keys/a/../b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nv');
    expect([...log.entries.keys()]).toEqual(['a/../b']);
  });
});

describe('what is not there', () => {
  it.each([
    '/',
    '/v1',
    '/v1/',
    '/v1/key',
    '/v1/Keys/a',
    '/V1/keys/a',
    '//v1/keys/a',
    '/v1//keys/a',
    '/v1/keysa',
    '/v1/%6beys/a',
    '/v1/report/',
    '/nope?x=%zz',
    '/%zz',
  ])('%s is no path', async (path) => {
    const { send, log } = await serve();
    for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'PATCH']) {
      const { status, json, headers } = await send(method, path, { headers: { 'content-type': 'un/known' } });
      expect(status, method).toBe(path === '/%zz' ? 400 : 404);
      expect(headers['content-type']).toBe('application/problem+json');
      expect(json()).toMatchObject({ status, code: 'INVALID_REQUEST', definite: true });
    }
    expect(log.revision).toBe(0);
  });

  it.each([
    ['POST', '/v1/keys/a', 'DELETE, GET, HEAD, PUT'],
    ['PATCH', '/v1/keys/a', 'DELETE, GET, HEAD, PUT'],
    ['OPTIONS', '/v1/keys/a', 'DELETE, GET, HEAD, PUT'],
    ['PROPFIND', '/v1/keys/a', 'DELETE, GET, HEAD, PUT'],
    ['PUT', '/v1/keys', 'GET, HEAD'],
    ['DELETE', '/v1/keys?prefix=a', 'GET, HEAD'],
    ['POST', '/v1/report', 'GET, HEAD'],
    ['PUT', '/openapi.json', 'GET, HEAD'],
    ['POST', '/health/live', 'GET, HEAD'],
  ])('%s is not possible at %s', async (method, path, allow) => {
    const { send, log } = await serve();
    for (const contentType of ['application/json', 'garbage', '']) {
      const { status, headers, json } = await send(method, path, { headers: { 'content-type': contentType }, body: '{' });
      expect(status).toBe(405);
      expect(headers['allow']).toBe(allow);
      expect(json()).toMatchObject({ status: 405, code: 'INVALID_REQUEST' });
    }
    expect(log.revision).toBe(0);
  });

  it('a target that is no path is refused', async () => {
    const { raw } = await serve();
    expect(await raw('OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 40[04] /);
  });
});
