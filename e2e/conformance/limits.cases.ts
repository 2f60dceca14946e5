import { describe, expect, it } from 'vitest';
import { pathOf } from '../support/http-client.js';
import { expectProblem } from '../support/problem.js';
import { exchange, RawConnection } from '../support/raw-http.js';
import { expectEntry, headOfLog, readAfter } from './reading.js';
import type { Subject } from './subject.js';

const VALUE_BYTES_MAX = 1_000_000;

export function limitCases(subject: () => Subject): void {
  describe('limits', () => {
    it('takes a value of 1,000,000 bytes, declared or chunked', async () => {
      const { http, origin, prefix } = subject();
      const value = Buffer.alloc(VALUE_BYTES_MAX, 'megabyte');
      const key = prefix();
      expectEntry(await readAfter(http, key, await http.put(key, value)), value);
      const chunked = `${prefix()}chunked`;
      const answer = await exchange(origin, chunkedRequest(chunked, value), { timeoutMs: 20_000 });
      expect(answer.status, answer.text).toBe(201);
      expectEntry(await readAfter(http, chunked, answer), value);
    });

    it('refuses one byte more: declared, and not yet sent', async () => {
      const { origin, http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'kept');
      for (const length of [VALUE_BYTES_MAX + 1, 10_000_000_000, Number.MAX_SAFE_INTEGER]) {
        const answer = await exchange(origin, `PUT ${pathOf(key)} HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n`);
        expectProblem(answer, 413, 'TOO_LARGE');
      }
      expectEntry(await readAfter(http, key, written), 'kept');
    });

    it('refuses one byte more: declared and sent', async () => {
      const { origin, http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'kept');
      using connection = await RawConnection.open(origin);
      await connection.write(`PUT ${pathOf(key)} HTTP/1.1\r\nhost: x\r\ncontent-length: ${VALUE_BYTES_MAX + 1}\r\n\r\n`);
      await connection.write(Buffer.alloc(VALUE_BYTES_MAX + 1));
      expectProblem(await connection.answer(), 413, 'TOO_LARGE');
      expectEntry(await readAfter(http, key, written), 'kept');
    });

    it('refuses one byte more: chunked', async () => {
      const { origin, http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'kept');
      const answer = await exchange(origin, chunkedRequest(key, Buffer.alloc(VALUE_BYTES_MAX + 1)), { timeoutMs: 20_000 });
      expectProblem(answer, 413, 'TOO_LARGE');
      expectEntry(await readAfter(http, key, written), 'kept');
    });

    it('does not wait for the end of a chunked value that has none', async () => {
      const { origin, http, prefix } = subject();
      const before = await headOfLog(subject());
      using connection = await RawConnection.open(origin);
      await connection.write(`PUT ${pathOf(prefix())} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`);
      const chunk = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`);
      let sentBytes = 0;
      while (sentBytes < 64 * VALUE_BYTES_MAX && (await connection.write(chunk))) sentBytes += 0x10000;
      expectProblem(await connection.answer(), 413, 'TOO_LARGE');
      expect((await http.get(prefix())).status).toBe(404);
      expect(await headOfLog(subject())).toBe(before);
    });

    it('refuses headers that are too large without falling over', async () => {
      const { origin, http, prefix } = subject();
      const request = `GET ${pathOf('a')} HTTP/1.1\r\nhost: x\r\nx-large: ${'x'.repeat(200_000)}\r\n\r\n`;
      const answer = await exchange(origin, request);
      expectProblem(answer, 431, 'TOO_LARGE');
      expect((await http.get(prefix())).status).toBe(404);
    });

    it.each([
      ['no HTTP at all', 'HELLO\r\n\r\n'],
      ['two lengths', 'PUT /v1/keys/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
      ['a length that is none', 'PUT /v1/keys/a HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n'],
      ['a length and chunks', 'PUT /v1/keys/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
      ['chunks that are none', 'PUT /v1/keys/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
      ['no host', 'GET /v1/keys/a HTTP/1.1\r\n\r\n'],
    ])('refuses %s and goes on serving', async (_title, request) => {
      const { origin, http, prefix } = subject();
      const before = await headOfLog(subject());
      const answer = await exchange(origin, request);
      expectProblem(answer, 400, 'INVALID_REQUEST');
      expect((await http.get(prefix())).status).toBe(404);
      expect(await headOfLog(subject())).toBe(before);
    });

    it('stores nothing of a value whose sender went away', async () => {
      const { origin, http, prefix } = subject();
      const before = await headOfLog(subject());
      const key = prefix();
      {
        using connection = await RawConnection.open(origin);
        await connection.write(`PUT ${pathOf(key)} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nonly the beginning`);
      }
      {
        using connection = await RawConnection.open(origin);
        await connection.write(`PUT ${pathOf(key)} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`);
      }
      // A whole exchange afterwards: what the two had sent has long been read.
      await http.get(prefix());
      expectProblem(await http.get(key), 404, 'NOT_FOUND');
      expect(await headOfLog(subject())).toBe(before);
    });
  });
}

function chunkedRequest(key: string, value: Uint8Array): Buffer {
  const parts: Array<string | Uint8Array> = [`PUT ${pathOf(key)} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`];
  for (let at = 0; at < value.length; at += 50_000) {
    const chunk = value.subarray(at, at + 50_000);
    parts.push(`${chunk.length.toString(16)}\r\n`, chunk, '\r\n');
  }
  parts.push('0\r\n\r\n');
  return Buffer.concat(parts.map((part) => Buffer.from(part as string)));
}
