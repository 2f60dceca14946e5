import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seedFromEnv } from '@diptych/testing';
import { serve } from './serve.js';

const seed = seedFromEnv();
const CRLF = '\r\n';

/** Bytes that mean something to somebody on the way. */
const spicy = fc.constantFrom(
  '%',
  '%2',
  '%00',
  '%ff',
  '%C3',
  '%2e',
  '%2F',
  '..',
  '/',
  '//',
  '?',
  '#',
  '&',
  '=',
  '+',
  ';',
  '\\',
  '"',
  '*',
  ',',
  'W/',
  '{',
  '\x80',
  '\xff',
  '\t',
  ' ',
  'é',
);
const text = (size: number) =>
  fc.array(fc.oneof(spicy, fc.string({ maxLength: 4 })), { maxLength: size }).map((pieces) => pieces.join('').replace(/[\r\n\0]/g, '~'));
const bytes = (size: number) => fc.uint8Array({ maxLength: size }).map((array) => Buffer.from(array).toString('latin1'));
const name = fc.constantFrom(
  'If-Match',
  'If-None-Match',
  'Idempotency-Key',
  'Diptych-Revision',
  'Diptych-Timeout-Ms',
  'Content-Type',
  'Content-Encoding',
  'Content-Range',
  'Authorization',
  'traceparent',
  'Expect',
  'Range',
  'Host',
  'Accept',
);
const method = fc.constantFrom('GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY');
const target = fc.oneof(
  text(8).map((rest) => `/v1/keys/${rest}`),
  text(8).map((rest) => `/v1/keys?${rest}`),
  text(8).map((rest) => `/v1/keys?prefix=${rest}&limit=1`),
  text(8).map((rest) => `/v1/report?${rest}`),
  text(8).map((rest) => `/${rest}`),
  text(8),
);
const headers = fc.array(
  fc.tuple(
    name,
    fc.oneof(
      text(6),
      bytes(40).map((value) => value.replace(/[\r\n\0]/g, '~')),
    ),
  ),
  { maxLength: 5 },
);

function head(method: string, target: string, headers: ReadonlyArray<readonly [string, string]>, length: number): string {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'Host: fuzz',
    'Connection: close',
    `Content-Length: ${length}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  return lines.join(CRLF) + CRLF + CRLF;
}

describe('whatever bytes come in', () => {
  it('are never answered with 500, and every refusal is a problem document', async () => {
    const { raw, gateway } = await serve({ requestTimeoutMs: 200 });
    await fc.assert(
      fc.asyncProperty(method, target, headers, bytes(30), async (method, target, headers, body) => {
        const request = Buffer.from(head(method, target, headers, body.length) + body, 'latin1');
        const answer = (await raw(request).catch(() => '')).replace(/^HTTP\/1.1 100 Continue\r\n\r\n/, '');
        if (answer === '') return;
        const status = Number(/^HTTP\/1.1 (\d{3}) /.exec(answer)?.[1]);
        expect(status).toBeGreaterThanOrEqual(200);
        expect(status).toBeLessThan(500);
        if (status < 400) return;
        expect(answer).toMatch(/content-type: application\/problem\+json\r\n/i);
        if (method === 'HEAD') return;
        expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toMatchObject({ status });
      }),
      { seed, numRuns: 600 },
    );
    expect(gateway.inFlight).toBe(0);
    expect(gateway.bodyBudget.bytes).toBe(0);
  });

  it('change nothing unless the answer says that they did', async () => {
    const { raw, log } = await serve({ requestTimeoutMs: 200 });
    await fc.assert(
      fc.asyncProperty(method, target, headers, bytes(30), async (method, target, headers, body) => {
        const before = log.revision;
        const answer = (await raw(Buffer.from(head(method, target, headers, body.length) + body, 'latin1')).catch(() => '')).replace(
          /^HTTP\/1.1 100 Continue\r\n\r\n/,
          '',
        );
        // 404 of a DELETE: recorded like any mutation, and nothing is there that was not there before.
        if (log.revision !== before) expect(`${method} ${answer.slice(9, 12)}`).toMatch(/^(PUT 20[14]|DELETE (204|404))$/);
      }),
      { seed: seed + 1, numRuns: 400 },
    );
  });

  it('may be no HTTP at all', async () => {
    const { raw, log, gateway } = await serve({ requestTimeoutMs: 200 });
    await fc.assert(
      fc.asyncProperty(fc.array(bytes(60), { minLength: 1, maxLength: 4 }), async (pieces) => {
        // The last piece makes sure that the server sees no mere beginning, for whose rest it would wait.
        const answer = await raw(...[...pieces, '\0'].map((piece) => Buffer.from(`${piece}${CRLF}${CRLF}`, 'latin1'))).catch(() => '');
        if (answer !== '') expect(answer).toMatch(/^HTTP\/1.1 4\d\d /);
      }),
      { seed: seed + 2, numRuns: 200 },
    );
    expect(log.revision).toBe(0);
    expect(gateway.inFlight).toBe(0);
  });

  it('any key and any value come back as they went in', async () => {
    const { send, log } = await serve();
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
        fc.uint8Array({ maxLength: 9_000 }),
        async (key, value) => {
          fc.pre(key.isWellFormed() && Buffer.byteLength(key) <= 1_024);
          const path = `/v1/keys/${encodeURIComponent(key)}`;
          expect([201, 204]).toContain((await send('PUT', path, { body: value })).status);
          expect(log.entries.has(key)).toBe(true);
          expect((await send('GET', path)).body.equals(value)).toBe(true);
          const listed = (await send('GET', `/v1/keys?${new URLSearchParams({ prefix: key, limit: '1' }).toString()}`)).json();
          expect(listed).toMatchObject({ keys: [{ key, bytes: value.length }] });
        },
      ),
      { seed: seed + 3, numRuns: 150 },
    );
  });
});
