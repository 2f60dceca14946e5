import { describe, expect, it } from 'vitest';
import { expectProblem } from '../support/problem.js';
import type { Subject } from './subject.js';

interface ReportBody {
  entries: number;
  keyBytes: number;
  valueBytes: number;
  sizes: number[];
  contentHash: string;
  topTrigrams: Array<{ trigramHex: string; count: number }>;
}

export function reportCases(subject: () => Subject): void {
  describe('report', () => {
    const report = (prefix: string, headers: Record<string, string> = {}) =>
      subject().http.send('GET', `/v1/report?${new URLSearchParams({ prefix }).toString()}`, { headers });

    it('counts what is under a prefix, and nothing else', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      await http.put(`${base}a`, 'abcabc');
      await http.put(`${base}b`, '');
      await http.put(`${base}\u00fc`, 'x'.repeat(1000));
      await http.put(`${base}gone`, 'gone');
      await http.delete(`${base}gone`);
      await http.put(prefix(), 'elsewhere');
      const answer = await report(base);
      expect(answer.status, answer.text).toBe(200);
      expect(answer.headers['content-type']).toMatch(/^application\/json\b/);
      expect(answer.headers['etag']).toMatch(/^"[!#-~]+"$/);
      const body = answer.json<ReportBody>();
      const baseBytes = Buffer.byteLength(base);
      expect(body).toMatchObject({ entries: 3, keyBytes: 3 * baseBytes + 4, valueBytes: 1006 });
      expect(body.sizes[0]).toBe(1);
      expect(body.sizes[3]).toBe(1);
      expect(body.sizes[10]).toBe(1);
      expect(body.sizes.reduce((sum, count) => sum + count, 0)).toBe(3);
      expect(body.contentHash).toMatch(/^[0-9a-f]{64}$/);
      expect(body.topTrigrams[0]).toEqual({ trigramHex: '787878', count: 998 });
    });

    it('hashes contents: the same twice, another after a change, the first again after it is undone', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      await http.put(`${base}a`, 'one');
      await http.put(`${base}b`, 'two');
      const hashOf = async () => (await report(base)).json<ReportBody>().contentHash;
      const first = await hashOf();
      expect(await hashOf()).toBe(first);
      await http.put(`${base}b`, 'zwei');
      const second = await hashOf();
      expect(second).not.toBe(first);
      await http.put(`${base}b`, 'two');
      expect(await hashOf()).toBe(first);
      await http.delete(`${base}b`);
      expect(await hashOf()).not.toBe(first);
    });

    it('is empty where nothing is', async () => {
      const answer = await report(subject().prefix());
      expect(answer.status).toBe(200);
      expect(answer.json<ReportBody>()).toMatchObject({ entries: 0, keyBytes: 0, valueBytes: 0, topTrigrams: [] });
    });

    it('answers 304 to who has it, until something under the prefix changes', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      await http.put(`${base}a`, 'one');
      const first = await report(base);
      const etag = first.headers['etag']!;
      const repeat = await report(base, { 'if-none-match': etag });
      expect([200, 304]).toContain(repeat.status);
      await http.put(`${base}a`, 'two');
      const changed = await report(base, { 'if-none-match': etag });
      expect(changed.status).toBe(200);
      expect(changed.headers['etag']).not.toBe(etag);
    });

    it.each(['prefix=%ff', 'prefix=%', 'prefix=a&prefix=b', `prefix=${'p'.repeat(1025)}`])('refuses ?%s', async (query) => {
      const answer = await subject().http.send('GET', `/v1/report?${query}`);
      expect([400, 413], answer.text).toContain(answer.status);
      expectProblem(answer, answer.status, answer.status === 400 ? 'INVALID_REQUEST' : 'TOO_LARGE');
    });
  });
}
