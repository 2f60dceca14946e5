import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeKey, type Answer } from '../support/http-client.js';
import { expectProblem } from '../support/problem.js';
import { exchange } from '../support/raw-http.js';
import { expectEntry, headOfLog, readAfter } from './reading.js';
import type { Subject } from './subject.js';

/** Spellings that URL parsers, routers and decoders on the way are known to take for something else. */
const hardKeys: Array<[title: string, rawPath: string, key: string]> = [
  ['a dot', '.', '.'],
  ['two dots', '..', '..'],
  ['an escaped dot', '%2e', '.'],
  ['two escaped dots', '%2e%2e', '..'],
  ['two escaped dots, mixed', '%2E.', '..'],
  ['dots inside', 'a/../b', 'a/../b'],
  ['escaped dots inside', 'a/%2e%2e/%2e%2e/b', 'a/../../b'],
  ['a slash', 'a/b', 'a/b'],
  ['an escaped slash', 'a%2Fb%2fc', 'a/b/c'],
  ['a slash at the end', 'a/', 'a/'],
  ['a slash at the beginning', '/a', '/a'],
  ['two slashes', 'a//b', 'a//b'],
  ['only slashes', '//', '//'],
  ['a backslash', 'a%5Cb', 'a\\b'],
  ['an escaped percent sign', '100%25', '100%'],
  ['something that looks escaped twice', '%252e%252F', '%2e%2F'],
  ['an escaped question mark and hash', 'a%3Fb%23c', 'a?b#c'],
  ['a plus sign and a blank', 'a+b%20c', 'a+b c'],
  ['route syntax', ':key*%3F(.*)%7Bx%7D', ':key*?(.*){x}'],
  ['a semicolon and an ampersand', 'a;b=c&d', 'a;b=c&d'],
  ['a NUL', 'a%00b', 'a\0b'],
  ['line breaks', 'a%0d%0aset-cookie:%20b', 'a\r\nset-cookie: b'],
  ['every control character', controlCharacters(encodeKey), controlCharacters((text) => text)],
  ['a blank', '%20', ' '],
  ['a byte order mark', '%EF%BB%BF', '\ufeff'],
  ['an umlaut, composed', '%C3%BC', '\u00fc'],
  ['an umlaut, decomposed', 'u%CC%88', 'u\u0308'],
  ['an astral character', '%F0%9F%98%80', '\u{1f600}'],
  ['a noncharacter', '%EF%BF%BF', '\uffff'],
  ['the last code point', '%F4%8F%BF%BF', '\u{10ffff}'],
  ['a name every object has', '__proto__', '__proto__'],
  ['another one', 'constructor', 'constructor'],
  ['the name of a route', 'report', 'report'],
];

const refusedPaths: Array<[title: string, rawPath: string]> = [
  ['no key', ''],
  ['a bare percent sign', '%'],
  ['half an escape', 'a%4'],
  ['an escape that is none', 'a%zz'],
  ['a byte that begins nothing', '%ff'],
  ['a lone continuation byte', 'a%80'],
  ['a truncated character', '%e2%82'],
  ['an overlong slash', '%c0%af'],
  ['an overlong NUL', '%e0%80%80'],
  ['a surrogate', '%ed%a0%80'],
  ['beyond the last code point', '%f4%90%80%80'],
];

export function keyCases(subject: () => Subject): void {
  describe('keys', () => {
    it.each(hardKeys)('%s: %j', async (_title, rawPath, key) => {
      const { http } = subject();
      const value = `value of ${JSON.stringify(key)}`;
      const written = await http.send('PUT', `/v1/keys/${rawPath}`, { body: value });
      expect([201, 204], written.text).toContain(written.status);
      // Both spellings are one key.
      const token = { 'diptych-revision': written.headers['diptych-revision']! };
      expectEntry(await http.send('GET', `/v1/keys/${rawPath}`, { headers: token }), value);
      expectEntry(await readAfter(http, key, written), value);
      const listed = await http.list({ prefix: key, limit: '1' });
      expect(listed.json<{ keys: Array<{ key: string }> }>().keys[0]?.key).toBe(key);
      const deleted = await http.send('DELETE', `/v1/keys/${rawPath}`);
      expect(deleted.status, deleted.text).toBe(204);
      expectProblem(await readAfter(http, key, deleted), 404, 'NOT_FOUND');
    });

    it('tells apart keys that look alike', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      const alike = ['\u00fc', 'u\u0308', 'a', 'A', 'a ', ' a', 'a/', 'a//', '.', '..', '%2e', '\u{1f600}', '\ufffd', 'a\0'];
      const writes = await Promise.all(alike.map((name) => http.put(base + name, name)));
      for (const [i, name] of alike.entries()) expectEntry(await readAfter(http, base + name, writes[i]!), name);
    });

    it.each(refusedPaths)('refuses %s: %j', async (_title, rawPath) => {
      const { http } = subject();
      const before = await headOfLog(subject());
      for (const method of ['PUT', 'GET', 'DELETE']) {
        const answer = await http.send(method, `/v1/keys/${rawPath}`, method === 'PUT' ? { body: 'never' } : {});
        expectProblem(answer, 400, 'INVALID_REQUEST');
      }
      const head = await http.send('HEAD', `/v1/keys/${rawPath}`);
      expect(head.status).toBe(400);
      expect(await headOfLog(subject())).toBe(before);
    });

    it('takes keys of 1,024 bytes and refuses 1,025, counted in bytes', async () => {
      const { http } = subject();
      const before = await headOfLog(subject());
      for (const longest of ['k'.repeat(1024), '\u00fc'.repeat(512), '\u{1f600}'.repeat(256), '/'.repeat(1024), '\u0001'.repeat(1024)]) {
        for (const method of ['PUT', 'GET', 'DELETE'] as const) {
          const body = method === 'PUT' ? { body: 'never' } : {};
          const answer = await http.send(method, `/v1/keys/${encodeKey(`${longest}x`)}`, body);
          expect([400, 413]).toContain(answer.status);
          expectProblem(answer, answer.status, answer.status === 400 ? 'INVALID_REQUEST' : 'TOO_LARGE');
        }
      }
      expect(await headOfLog(subject())).toBe(before);
      for (const longest of ['k'.repeat(1024), '\u00fc'.repeat(512), '\u{1f600}'.repeat(256), '/'.repeat(1024), '\u0001'.repeat(1024)]) {
        const written = await http.put(longest, 'long');
        expect([201, 204], written.text).toContain(written.status);
        expectEntry(await readAfter(http, longest, written), 'long');
        expect((await http.delete(longest)).status).toBe(204);
      }
    });

    it('any key there can be: written, read, listed, deleted', async () => {
      const { http, prefix } = subject();
      const base = prefix();
      const key = fc
        .array(fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.constantFrom('/', '.', '..', '%', '\0', '\u{10ffff}')), {
          maxLength: 8,
        })
        .map((parts) => base + parts.join(''));
      await fc.assert(
        fc.asyncProperty(key, fc.uint8Array({ maxLength: 64 }), async (name, value) => {
          const written = await http.put(name, value);
          expect([201, 204], written.text).toContain(written.status);
          expectEntry(await readAfter(http, name, written), value);
          const deleted = await http.delete(name);
          expect(deleted.status).toBe(204);
          expectProblem(await readAfter(http, name, deleted), 404, 'NOT_FOUND');
        }),
        { seed: seedFromEnv(), numRuns: 60 },
      );
    });

    it.each([
      ['bytes over 0x7f, unescaped', Buffer.from('GET /v1/keys/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n', 'latin1')],
      ['UTF-8, unescaped', Buffer.from('GET /v1/keys/\u00fc\u{1f600} HTTP/1.1\r\nhost: x\r\n\r\n', 'utf8')],
      ['a control character, unescaped', Buffer.from('GET /v1/keys/a\x01b HTTP/1.1\r\nhost: x\r\n\r\n', 'latin1')],
      ['a whole address', Buffer.from('GET http://example.invalid/v1/keys/a HTTP/1.1\r\nhost: x\r\n\r\n', 'latin1')],
      ['a path that is none', Buffer.from('GET v1/keys/a HTTP/1.1\r\nhost: x\r\n\r\n', 'latin1')],
    ])('refuses, and is not shaken by, %s', async (_title, request) => {
      const answer: Answer = await exchange(subject().origin, request);
      expect([400, 404], answer.text).toContain(answer.status);
      expectProblem(answer, answer.status, answer.json<{ code: 'INVALID_REQUEST' | 'NOT_FOUND' }>().code);
    });
  });
}

function controlCharacters(spell: (text: string) => string): string {
  return spell(`c${Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).join('')}\u007f\u0080\u009f`);
}
