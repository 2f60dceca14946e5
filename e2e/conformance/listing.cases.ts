import { describe, expect, it } from 'vitest';
import type { HttpClient } from '../support/http-client.js';
import { expectProblem } from '../support/problem.js';
import type { Subject } from './subject.js';

interface Page {
  keys: Array<{ key: string; etag?: string; revision?: number | string; bytes: number }>;
  next?: string;
}

export function listingCases(subject: () => Subject): void {
  describe('listing', () => {
    it('pages through many keys in the order of their UTF-8 bytes, each once', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      // UTF-16 order, which a plain sort gives, puts astral characters before U+E000 and above.
      const odd = [
        '\u0000',
        '/',
        '%',
        ' ',
        '\u007f',
        '\u00fc',
        '\u0800',
        '\ud7ff',
        '\ue000',
        '\uffff',
        '\u{10000}',
        '\u{1f600}',
        '\u{10ffff}',
      ];
      const names = [...odd, ...odd.map((name) => `a${name}z`), ...Array.from({ length: 400 }, (_, i) => `k${(i * 7919) % 1000}`)];
      const keys = [...new Set(names)].map((name) => base + name);
      await writeAll(http, keys);
      await http.put(`${base.slice(0, -1)}!`, 'sorts beside, has not the prefix');
      const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      for (const limit of [7, 100, 1000]) {
        expect(await listAll(http, base, limit), `limit ${limit}`).toEqual(sorted);
      }
    });

    it('tells size and identity of each entry', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      const written = await http.put(`${base}a`, 'seven b');
      await http.put(`${base}b`, '');
      const { keys } = (await http.list({ prefix: base })).json<Page>();
      expect(keys.map(({ key, bytes }) => [key, bytes])).toEqual([
        [`${base}a`, 7],
        [`${base}b`, 0],
      ]);
      if (keys[0]?.etag !== undefined) expect(keys[0].etag).toBe(written.headers['etag']);
    });

    it('begins after `after`, which need not exist', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      await writeAll(
        http,
        ['a', 'b', 'd'].map((name) => base + name),
      );
      const after = async (name: string) => (await http.list({ prefix: base, after: base + name })).json<Page>().keys.map(({ key }) => key);
      expect(await after('')).toEqual(['a', 'b', 'd'].map((name) => base + name));
      expect(await after('b')).toEqual([`${base}d`]);
      expect(await after('c')).toEqual([`${base}d`]);
      expect(await after('d')).toEqual([]);
    });

    it('leaves out what was deleted, and never shows it again', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      await writeAll(
        http,
        ['a', 'b', 'c'].map((name) => base + name),
      );
      expect((await http.delete(`${base}b`)).status).toBe(204);
      for (let i = 0; i < 20; i++) expect(await listAll(http, base, 1)).toEqual([`${base}a`, `${base}c`]);
    });

    it('a page of a prefix nothing has is empty and has no next', async () => {
      const { http, prefix } = subject();
      const answer = await http.list({ prefix: `${prefix()}\u{1f600}` });
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toMatch(/^application\/json\b/);
      const page = answer.json<Page>();
      expect(page.keys).toEqual([]);
      expect(page.next ?? undefined).toBeUndefined();
    });

    it.each([
      'limit=0',
      'limit=-1',
      'limit=1.5',
      'limit=1001',
      'limit=many',
      'limit=',
      'limit=1e2',
      'limit=9007199254740993',
      'limit=1&limit=2',
      'prefix=a&prefix=b',
      'prefix=%ff',
      'prefix=%zz',
      'after=%ed%a0%80',
      `prefix=${'p'.repeat(1025)}`,
      `after=${'p'.repeat(1025)}`,
    ])('refuses ?%s', async (query) => {
      const answer = await subject().http.send('GET', `/v1/keys?${query}`);
      expect([400, 413], answer.text).toContain(answer.status);
      expectProblem(answer, answer.status, answer.status === 400 ? 'INVALID_REQUEST' : 'TOO_LARGE');
    });
  });
}

async function listAll(http: HttpClient, prefix: string, limit: number): Promise<string[]> {
  const keys: string[] = [];
  for (let after: string | undefined, pages = 0; pages < 2000; pages++) {
    const answer = await http.list({ prefix, limit: String(limit), ...(after === undefined ? {} : { after }) });
    expect(answer.status, answer.text.slice(0, 300)).toBe(200);
    const page = answer.json<Page>();
    expect(page.keys.length).toBeLessThanOrEqual(limit);
    keys.push(...page.keys.map(({ key }) => key));
    if (page.next === undefined || page.next === null) return keys;
    after = page.next;
  }
  throw new Error('the list does not end');
}

async function writeAll(http: HttpClient, keys: readonly string[]): Promise<void> {
  const answers = await Promise.all(keys.map((key) => http.put(key, key)));
  for (const answer of answers) expect([201, 204], answer.text).toContain(answer.status);
}
