import { waitFor } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { expectProblem } from '../support/problem.js';
import { expectEntry, readAfter } from './reading.js';
import type { Subject } from './subject.js';

/** What a reader sees of a write, and when. Each case tries to be early: it reads in the very moment after the answer. */
export function visibilityCases(subject: () => Subject): void {
  describe('visibility', () => {
    it('a client that sends its token back reads its own writes, 200 times', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      for (let i = 0; i < 200; i++) {
        const written = await http.put(key, `version ${i}`);
        expectEntry(await readAfter(http, key, written), `version ${i}`);
        // Warms the cache again, so that the next write has something old to leave behind.
        await http.get(key);
      }
    });

    it('a client that sends its token back sees its deletes, 50 times', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      for (let i = 0; i < 50; i++) {
        await http.get(key);
        await http.put(key, `version ${i}`);
        await http.get(key);
        const deleted = await http.delete(key);
        expect(deleted.status).toBe(204);
        expectProblem(await readAfter(http, key, deleted), 404, 'NOT_FOUND');
      }
    });

    it('many keys at once, each read by the token of its write', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      const worker = async (w: number) => {
        for (let i = 0; i < 20; i++) {
          const key = `${base}${w}`;
          const written = await http.put(key, `${w}.${i}`);
          expectEntry(await readAfter(http, key, written), `${w}.${i}`);
        }
      };
      await Promise.all(Array.from({ length: 16 }, (_, w) => worker(w)));
    });

    it('without a token: at once where the arm promises it, else in bounded time', async () => {
      const { http, prefix, seesAcknowledged } = subject();
      const key = prefix();
      for (let i = 0; i < 100; i++) {
        await http.get(key);
        await http.put(key, `version ${i}`);
        if (seesAcknowledged) expectEntry(await http.get(key), `version ${i}`);
      }
      await waitFor(async () => (await http.get(key)).text === 'version 99', {
        timeoutMs: 5_000,
        what: 'the newest version without a token',
      });
    });

    it('never goes back: what one reader has seen, and a delete', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      let writing = true;
      const seen: number[] = [];
      const read = async () => {
        while (writing) {
          const answer = await http.get(key);
          if (answer.status === 200) seen.push(Number(answer.text));
          else expectProblem(answer, 404, 'NOT_FOUND');
        }
      };
      const reading = read();
      for (let i = 0; i < 150; i++) await http.put(key, String(i));
      const deleted = await http.delete(key);
      await waitFor(async () => (await http.get(key)).status === 404, { timeoutMs: 5_000, what: 'the delete is seen' });
      writing = false;
      await reading;
      expect(seen.length).toBeGreaterThan(0);
      expect(seen, 'one cache, one order').toEqual([...seen].sort((a, b) => a - b));
      // By then fills that were under way have ended; none of them may bring the entry back.
      for (let i = 0; i < 50; i++) expectProblem(await http.get(key), 404, 'NOT_FOUND');
      expectProblem(await readAfter(http, key, deleted), 404, 'NOT_FOUND');
    });

    it('the newest token never goes back, also across keys: an older entry does not hide what was seen before', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      await http.put(`${base}a`, 'old');
      await http.put(`${base}b`, 'b');
      for (let i = 0; i < 50; i++) {
        let token = (await http.put(`${base}a`, `version ${i}`)).headers['diptych-revision']!;
        const read = async (key: string, headers: Record<string, string> = {}) => {
          const answer = await http.get(key, { 'diptych-revision': token, ...headers });
          token = answer.headers['diptych-revision']!;
          return answer;
        };
        const seen = token;
        const other = await read(`${base}b`);
        expectEntry(other, 'b');
        expect(token, 'carried on').toBe(seen);
        expect((await read(`${base}b`, { 'if-none-match': other.headers['etag']! })).status).toBe(304);
        expect((await read(`${base}b`, { 'if-match': '"other"' })).status).toBe(412);
        expectProblem(await read(`${base}missing`), 404, 'NOT_FOUND');
        expectEntry(await read(`${base}a`), `version ${i}`);
      }
    });

    it('refuses a token that is none, and takes one of another history', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'value');
      for (const token of ['', 'nonsense', '-1', '1e9', `${written.headers['diptych-revision']}x`, '{"revision":1}']) {
        expectProblem(await http.get(key, { 'diptych-revision': token }), 400, 'INVALID_REQUEST');
      }
      const [, ...rest] = written.headers['diptych-revision']!.split('-');
      const elsewhere = ['0123456789abcdef', ...rest].join('-');
      expectEntry(await http.get(key, { 'diptych-revision': elsewhere }), 'value');
    });

    it('answers from memory what was read before, but not to a reader who has seen more than memory has', async () => {
      const { http, prefix, cacheCount } = subject();
      const key = prefix();
      const written = await http.put(key, 'value');
      // On a busy machine a replica may just then be too long without a beacon to answer from memory.
      await waitFor(
        async () => {
          await http.get(key);
          const hits = await cacheCount('hits');
          expectEntry(await http.get(key), 'value');
          return (await cacheCount('hits')) === hits + 1;
        },
        { what: 'a hit' },
      );
      const [incarnation, partition, revision] = written.headers['diptych-revision']!.split('-');
      const ahead = `${incarnation}-${partition}-${Number(revision) + 1_000_000}`;
      const elsewhere = `0123456789abcdef-${partition}-${revision}`;
      for (const token of [ahead, elsewhere]) {
        const hits = await cacheCount('hits');
        expectEntry(await http.get(key, { 'diptych-revision': token }), 'value');
        expect(await cacheCount('hits'), token).toBe(hits);
      }
    });

    it('an old token does no harm', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const first = await http.put(key, 'first');
      const second = await http.put(key, 'second');
      await readAfter(http, key, second);
      const answer = await readAfter(http, key, first);
      expect(['first', 'second']).toContain(answer.text);
      expectEntry(await readAfter(http, key, second), 'second');
    });
  });
}
