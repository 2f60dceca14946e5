import { describe, expect, it } from 'vitest';
import { expectProblem } from '../support/problem.js';
import { expectEntry, headOfLog, readAfter } from './reading.js';
import type { Subject } from './subject.js';

export function conditionCases(subject: () => Subject): void {
  describe('conditions', () => {
    it('If-None-Match: * creates once', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const first = await http.put(key, 'first', { 'if-none-match': '*' });
      expect(first.status).toBe(201);
      expectProblem(await http.put(key, 'second', { 'if-none-match': '*' }), 412, 'CONFLICT');
      expectEntry(await readAfter(http, key, first), 'first');
      const deleted = await http.delete(key);
      expect(deleted.status).toBe(204);
      expect((await http.put(key, 'third', { 'if-none-match': '*' })).status).toBe(201);
    });

    it('If-None-Match: * lets one of many through', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => http.put(key, `writer ${i}`, { 'if-none-match': '*' })));
      const winners = answers.filter(({ status }) => status === 201);
      expect(winners).toHaveLength(1);
      for (const loser of answers.filter(({ status }) => status !== 201)) expectProblem(loser, 412, 'CONFLICT');
      expectEntry(await readAfter(http, key, winners[0]!), `writer ${answers.indexOf(winners[0]!)}`);
    });

    it('If-Match replaces the entry it names, and only that', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const first = await http.put(key, 'first');
      const second = await http.put(key, 'second', { 'if-match': first.headers['etag']! });
      expect(second.status).toBe(204);
      expectProblem(await http.put(key, 'third', { 'if-match': first.headers['etag']! }), 412, 'CONFLICT');
      expectEntry(await readAfter(http, key, second), 'second');
      const list = `"nonsense", ${first.headers['etag']}, ${second.headers['etag']}`;
      const third = await http.put(key, 'third', { 'if-match': list });
      expect(third.status, third.text).toBe(204);
      expectEntry(await readAfter(http, key, third), 'third');
    });

    it('If-Match lets one of many through: no update is lost', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      let entry = await http.put(key, '0');
      for (let round = 0; round < 5; round++) {
        const etag = entry.headers['etag']!;
        const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => http.put(key, `${round}.${i}`, { 'if-match': etag })));
        const winners = answers.filter(({ status }) => status === 204);
        expect(winners).toHaveLength(1);
        entry = winners[0]!;
      }
    });

    it('If-Match: * needs an entry, whichever', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      expectProblem(await http.put(key, 'never', { 'if-match': '*' }), 412, 'CONFLICT');
      expectProblem(await http.get(key), 404, 'NOT_FOUND');
      await http.put(key, 'first');
      const second = await http.put(key, 'second', { 'if-match': '*' });
      expect(second.status).toBe(204);
      expectEntry(await readAfter(http, key, second), 'second');
    });

    it('If-Match never matches weakly, nor another key, nor what was deleted and written anew', async () => {
      const { http, prefix } = subject();
      const [key, other] = [prefix(), prefix()];
      const first = await http.put(key, 'same');
      const elsewhere = await http.put(other, 'same');
      expectProblem(await http.put(key, 'never', { 'if-match': `W/${first.headers['etag']}` }), 412, 'CONFLICT');
      expectProblem(await http.put(key, 'never', { 'if-match': elsewhere.headers['etag']! }), 412, 'CONFLICT');
      await http.delete(key);
      const anew = await http.put(key, 'same');
      expectProblem(await http.put(key, 'never', { 'if-match': first.headers['etag']! }), 412, 'CONFLICT');
      expectEntry(await readAfter(http, key, anew), 'same');
    });

    it('deletes only what If-Match names', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      expectProblem(await http.delete(key, { 'if-match': '*' }), 412, 'CONFLICT');
      const first = await http.put(key, 'first');
      const second = await http.put(key, 'second');
      expectProblem(await http.delete(key, { 'if-match': first.headers['etag']! }), 412, 'CONFLICT');
      expectEntry(await readAfter(http, key, second), 'second');
      const deleted = await http.delete(key, { 'if-match': second.headers['etag']! });
      expect(deleted.status).toBe(204);
      expectProblem(await http.delete(key, { 'if-match': second.headers['etag']! }), 412, 'CONFLICT');
      expectProblem(await readAfter(http, key, deleted), 404, 'NOT_FOUND');
    });

    it.each([
      ['a tag without quotes', 'if-match', 'abc'],
      ['nothing between commas', 'if-match', ',,'],
      ['a star among tags', 'if-match', '*, "abc"'],
      ['an open quote', 'if-match', '"abc'],
      ['an empty If-None-Match', 'if-none-match', ''],
      ['If-None-Match of a put with a tag', 'if-none-match', '"abc"'],
    ])('refuses a condition that is none: %s', async (_title, name, condition) => {
      const { http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'kept');
      const before = await headOfLog(subject());
      const answer = await http.put(key, 'lost', { [name]: condition });
      expectProblem(answer, 400, 'INVALID_REQUEST');
      expectEntry(await readAfter(http, key, written), 'kept');
      expect(await headOfLog(subject())).toBe(before);
    });

    it('takes 16 tags and refuses 17', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const first = await http.put(key, 'first');
      const tags = (count: number) => [...Array.from({ length: count - 1 }, (_, i) => `"other-${i}"`), first.headers['etag']!].join(', ');
      expectProblem(await http.put(key, 'never', { 'if-match': tags(17) }), 400, 'INVALID_REQUEST');
      expect((await http.put(key, 'second', { 'if-match': tags(16) })).status).toBe(204);
    });

    it('knows no If-None-Match for a delete', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'kept');
      expectProblem(await http.delete(key, { 'if-none-match': '*' }), 400, 'INVALID_REQUEST');
      expectEntry(await readAfter(http, key, written), 'kept');
    });

    it('refuses conditions that cannot both be meant, and changes nothing', async () => {
      const { http, prefix } = subject();
      const [present, absent] = [prefix(), prefix()];
      const written = await http.put(present, 'kept');
      const before = await headOfLog(subject());
      for (const ifMatch of ['*', written.headers['etag']!]) {
        for (const key of [present, absent]) {
          const answer = await http.put(key, 'never', { 'if-match': ifMatch, 'if-none-match': '*' });
          expectProblem(answer, 400, 'INVALID_REQUEST');
        }
      }
      expectEntry(await readAfter(http, present, written), 'kept');
      expectProblem(await http.get(absent), 404, 'NOT_FOUND');
      expect(await headOfLog(subject())).toBe(before);
    });
  });
}
