import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { expectProblem } from '../support/problem.js';
import { expectEntry, headOfLog, positionOf, readAfter } from './reading.js';
import type { Subject } from './subject.js';

export function idempotencyCases(subject: () => Subject): void {
  describe('Idempotency-Key', () => {
    it('answers a repeated put as the first time, and writes once', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const once = { 'idempotency-key': randomUUID() };
      const first = await http.put(key, 'mine', once);
      expect(first.status).toBe(201);
      const later = await http.put(key, 'of someone else');
      expect(later.status).toBe(204);
      const repeat = await http.put(key, 'mine', once);
      expect(repeat.status).toBe(201);
      expect(positionOf(repeat)).toEqual(positionOf(first));
      expectEntry(await readAfter(http, key, later), 'of someone else');
    });

    it('answers a repeated delete as the first time, and does not delete what came after', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      await http.put(key, 'first');
      const once = { 'idempotency-key': randomUUID() };
      const first = await http.delete(key, once);
      expect(first.status).toBe(204);
      const later = await http.put(key, 'second');
      const repeat = await http.delete(key, once);
      expect(repeat.status).toBe(204);
      expect(repeat.headers['diptych-revision']).toBe(first.headers['diptych-revision']);
      expectEntry(await readAfter(http, key, later), 'second');
    });

    it('answers a repeated delete of nothing as the first time', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const once = { 'idempotency-key': randomUUID() };
      expectProblem(await http.delete(key, once), 404, 'NOT_FOUND');
      const later = await http.put(key, 'later');
      expectProblem(await http.delete(key, once), 404, 'NOT_FOUND');
      expectEntry(await readAfter(http, key, later), 'later');
    });

    it('writes once however many send it at once', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const once = { 'idempotency-key': randomUUID() };
      const answers = await Promise.all(Array.from({ length: 20 }, () => http.put(key, 'once', once)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
      expect(new Set(answers.map((answer) => answer.headers['etag'])).size).toBe(1);
    });

    it('keeps a condition and its first answer together', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const once = { 'idempotency-key': randomUUID(), 'if-none-match': '*' };
      const first = await http.put(key, 'created', once);
      expect(first.status).toBe(201);
      const repeat = await http.put(key, 'created', once);
      expect(repeat.status, repeat.text).toBe(201);
      expect(positionOf(repeat)).toEqual(positionOf(first));
    });

    it('does not remember a condition that failed', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const once = { 'idempotency-key': randomUUID(), 'if-match': '*' };
      expectProblem(await http.put(key, 'second', once), 412, 'CONFLICT');
      await http.put(key, 'first');
      expect((await http.put(key, 'second', once)).status).toBe(204);
    });

    it('refuses the same id for anything else, and changes nothing', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const other = `${prefix()}other`;
      const once = { 'idempotency-key': randomUUID(), 'content-type': 'text/plain' };
      const written = await http.put(key, 'mine', once);
      const before = await headOfLog(subject());
      expectProblem(await http.put(key, 'another value', once), 400, 'INVALID_REQUEST');
      expectProblem(await http.put(key, 'mine', { ...once, 'content-type': 'text/html' }), 400, 'INVALID_REQUEST');
      expectProblem(await http.put(other, 'mine', once), 400, 'INVALID_REQUEST');
      expectProblem(await http.delete(key, { 'idempotency-key': once['idempotency-key'] }), 400, 'INVALID_REQUEST');
      expectEntry(await readAfter(http, key, written), 'mine');
      expectProblem(await http.get(other), 404, 'NOT_FOUND');
      expect(await headOfLog(subject())).toBe(before);
    });

    it.each([
      ['empty', ''],
      ['129 characters', 'k'.repeat(129)],
      ['a tab inside', 'a\tb'],
      ['beyond ASCII', 'caf\u00e9'],
    ])('refuses an id that is none: %s', async (_title, id) => {
      const { http, prefix } = subject();
      const key = prefix();
      const before = await headOfLog(subject());
      expectProblem(await http.put(key, 'never', { 'idempotency-key': id }), 400, 'INVALID_REQUEST');
      expectProblem(await http.get(key), 404, 'NOT_FOUND');
      expect(await headOfLog(subject())).toBe(before);
    });

    it('takes 128 printable characters', async () => {
      const { http, prefix } = subject();
      const id = `${randomUUID()}~!"#$%&'()*+,-./:;<=>?@[]^_{|}`.padEnd(128, 'x');
      expect((await http.put(prefix(), 'value', { 'idempotency-key': id })).status).toBe(201);
    });
  });
}
