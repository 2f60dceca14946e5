import { describe, expect, it } from 'vitest';
import { DiptychError, ERROR_TABLE, isErrorCode, systemClock, type ErrorCode } from '@diptych/kernel';
import { ApiKeys, keysInFile } from '../src/api-key.js';
import { isLoopback } from '../src/loopback.js';
import { serve } from './serve.js';

const CALLS = [
  ['GET', '/v1/keys/a'],
  ['PUT', '/v1/keys/a'],
  ['DELETE', '/v1/keys/a'],
  ['GET', '/v1/keys'],
  ['GET', '/v1/report'],
] as const;

describe('every code of the error table', () => {
  it.each(Object.keys(ERROR_TABLE).filter(isErrorCode))('%s becomes its status, with a problem document', async (code: ErrorCode) => {
    const { send, log } = await serve();
    for (const [method, path] of CALLS) {
      log.failures.push(new DiptychError(code, 'what went wrong', { retryAfterMs: 2_500 }));
      const { status, headers, json } = await send(method, path);
      expect(status).toBe(ERROR_TABLE[code].httpStatus);
      expect(headers['content-type']).toBe('application/problem+json');
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(json()).toEqual({
        type: `urn:diptych:error:${code}`,
        title: ERROR_TABLE[code].meaning,
        status,
        detail: 'what went wrong',
        code,
        definite: ERROR_TABLE[code].definite,
      });
      expect(headers['retry-after']).toBe(status === 503 ? '3' : undefined);
      expect(headers['www-authenticate']).toBe(status === 401 ? 'Bearer realm="diptych"' : undefined);
    }
  });

  it('a cancelled call that was never sent is definite', async () => {
    const { send, log } = await serve();
    log.failures.push(new DiptychError('CANCELLED', 'x', { definite: true }));
    expect((await send('PUT', '/v1/keys/a')).json()).toMatchObject({ definite: true });
  });

  it('what is not of the table is INTERNAL, indefinite, and keeps its secret', async () => {
    const defects: unknown[] = [];
    const { send, log } = await serve({ onDefect: (error) => defects.push(error.cause) });
    for (const thrown of [new Error('secret'), 'secret', undefined, { code: 'NOT_FOUND' }]) {
      log.failures.push(thrown);
      const { status, json, body } = await send('PUT', '/v1/keys/a');
      expect(status).toBe(500);
      expect(json()).toMatchObject({ code: 'INTERNAL', definite: false });
      expect(body.toString()).not.toContain('secret');
    }
    expect(defects).toHaveLength(4);
  });
});

describe('time', () => {
  it('each call carries a deadline, which the client can only shorten, and its trace', async () => {
    const { send, log } = await serve({ requestTimeoutMs: 1_000 });
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const leftMs = async (headers: Record<string, string>) => {
      await send('GET', '/v1/keys/a', { headers });
      return log.contexts.at(-1)!.deadlineMs - systemClock.nowMs();
    };
    expect(await leftMs({})).toBeLessThanOrEqual(1_000);
    expect(await leftMs({ 'diptych-timeout-ms': '60000' })).toBeLessThanOrEqual(1_000);
    expect(await leftMs({ 'diptych-timeout-ms': '600' })).toBeLessThanOrEqual(600);
    await leftMs({ traceparent });
    expect(log.contexts.at(-1)!.traceparent).toBe(traceparent);
    await leftMs({ traceparent: 'nonsense' });
    expect(log.contexts.at(-1)!.traceparent).toBeUndefined();
  });
});

describe('API keys', () => {
  const key = 'a-key-of-sixteen-or-more';

  it('are asked for where data is, and nowhere else', async () => {
    const { send, log } = await serve({ apiKeys: new ApiKeys(['another-key-0000', key]) });
    for (const [method, path] of CALLS) {
      for (const authorization of [undefined, 'Bearer', `Basic ${key}`, `Bearer ${key}x`, `Bearer ${key} x`, 'Bearer another-key']) {
        const { status, headers, json } = await send(method, path, { headers: authorization === undefined ? {} : { authorization } });
        expect(status).toBe(401);
        expect(headers['www-authenticate']).toBe('Bearer realm="diptych"');
        expect(json()).toMatchObject({ code: 'UNAUTHENTICATED', definite: true });
      }
    }
    expect(log.contexts).toHaveLength(0);
    for (const [method, path] of CALLS)
      expect((await send(method, path, { headers: { authorization: `bearer  ${key}` } })).status).toBeLessThan(405);
    expect((await send('GET', '/openapi.json')).status).toBe(200);
    expect((await send('GET', '/health/live')).status).toBe(200);
  });

  it('two Authorization headers are no credentials', async () => {
    const { send } = await serve({ apiKeys: new ApiKeys([key]) });
    const headers = ['Host', 'x', 'Authorization', `Bearer ${key}`, 'Authorization', 'Bearer other'];
    expect((await send('GET', '/v1/keys/a', { headers })).status).toBe(400);
  });

  it('must be worth the name, and are never shown', () => {
    for (const keys of [[], ['short'], ['with a blank in the middle'], Array<string>(65).fill(key)]) {
      expect(() => new ApiKeys(keys)).toThrow(RangeError);
      expect(() => new ApiKeys(keys)).not.toThrow(/short|blank in/);
    }
  });

  it('come one a line in a file', () => {
    expect(keysInFile(`# ours\n\n  ${key}\r\nsecond-key-000000\n#x`)).toEqual([key, 'second-key-000000']);
  });
});

describe('a loopback address', () => {
  it.each(['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1'])('%s', (address) => expect(isLoopback(address)).toBe(true));
  it.each(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '::ffff:10.0.0.1', 'localhost', ''])('not %s', (address) =>
    expect(isLoopback(address)).toBe(false),
  );
});
