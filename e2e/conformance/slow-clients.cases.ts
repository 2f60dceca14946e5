import { describe, expect, it } from 'vitest';
import { pathOf } from '../support/http-client.js';
import { expectProblem } from '../support/problem.js';
import { RawConnection } from '../support/raw-http.js';
import { expectEntry, headOfLog, readAfter } from './reading.js';
import type { Subject } from './subject.js';

/** The arms of these tests give a request 3 s to arrive. */
export function slowClientCases(subject: () => Subject): void {
  describe('slow clients', () => {
    it('refuses bodies and heads that do not arrive in time with 408, and stores nothing of them', async () => {
      const { origin, http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'kept');
      const before = await headOfLog(subject());
      const path = pathOf(key);
      const beginnings = {
        'a body of which half comes': `PUT ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf`,
        'a body of which nothing comes': `PUT ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n`,
        'chunks without an end': `PUT ${path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n`,
        'a head without an end': `PUT ${path} HTTP/1.1\r\nhost: x\r\n`,
      };
      const answers = await Promise.all(
        Object.values(beginnings).map(async (beginning) => {
          using connection = await RawConnection.open(origin);
          await connection.write(beginning);
          return await connection.answer({ timeoutMs: 10_000 });
        }),
      );
      for (const answer of answers) expectProblem(answer, 408, 'DEADLINE_EXCEEDED');
      expectEntry(await readAfter(http, key, written), 'kept');
      expect(await headOfLog(subject())).toBe(before);
    });

    it('serves others while many are slow', async () => {
      const { origin, http, prefix } = subject();
      const slow = await Promise.all(Array.from({ length: 100 }, () => RawConnection.open(origin)));
      try {
        for (const connection of slow)
          await connection.write(`PUT ${pathOf(prefix())} HTTP/1.1\r\nhost: x\r\ncontent-length: 999\r\n\r\nx`);
        const key = prefix();
        expectEntry(await readAfter(http, key, await http.put(key, 'served')), 'served');
      } finally {
        for (const connection of slow) connection[Symbol.dispose]();
      }
    });

    it('takes a body that comes byte by byte but in time', async () => {
      const { origin, http, prefix } = subject();
      const key = prefix();
      using connection = await RawConnection.open(origin);
      await connection.write(`PUT ${pathOf(key)} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n`);
      for (const byte of 'bytes') {
        await connection.write(byte);
        // Another exchange in between, so that each byte is read on its own.
        await http.get(prefix());
      }
      const answer = await connection.answer();
      expect(answer.status).toBe(201);
      expectEntry(await readAfter(http, key, answer), 'bytes');
    });
  });
}
