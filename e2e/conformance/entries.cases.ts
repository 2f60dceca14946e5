import { describe, expect, it } from 'vitest';
import { expectProblem } from '../support/problem.js';
import { exchange } from '../support/raw-http.js';
import { pathOf } from '../support/http-client.js';
import { expectEntry, headOfLog, readAfter } from './reading.js';
import type { Subject } from './subject.js';

export function entryCases(subject: () => Subject): void {
  describe('entries', () => {
    it('creates with 201, replaces with 204, and serves the newest value with its type', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const created = await http.put(key, 'first', { 'content-type': 'text/plain' });
      expect(created.status).toBe(201);
      expect(created.headers['etag']).toMatch(/^"[!#-~]+"$/);
      expect(created.headers['diptych-revision']).toBeTruthy();

      const replaced = await http.put(key, 'second', { 'content-type': 'text/markdown' });
      expect(replaced.status).toBe(204);
      expect(replaced.headers['etag']).not.toBe(created.headers['etag']);

      const read = await readAfter(http, key, replaced);
      expectEntry(read, 'second', 'text/markdown');
      expect(read.headers['etag']).toBe(replaced.headers['etag']);
      expect(read.headers['content-length']).toBe('6');
    });

    it('answers HEAD as GET, without the body', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'twelve bytes', { 'content-type': 'text/plain' });
      const get = await readAfter(http, key, written);
      const head = await http.head(key, { 'diptych-revision': written.headers['diptych-revision']! });
      expect(head.status).toBe(200);
      expect(head.bytes.length).toBe(0);
      for (const name of ['etag', 'content-type', 'content-length', 'diptych-revision'])
        expect(head.headers[name], name).toBe(get.headers[name]);
      const absent = await http.head(prefix());
      expect(absent.status).toBe(404);
      expect(absent.bytes.length).toBe(0);
      expect(absent.headers['diptych-revision']).toBeTruthy();
    });

    it('answers 304 to a reader that has the entry, and 200 to one that has another', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const old = await http.put(key, 'old');
      const written = await http.put(key, 'new');
      const etag = written.headers['etag']!;
      const token = { 'diptych-revision': written.headers['diptych-revision']! };
      for (const tags of [etag, `"nonsense", ${etag}`, `W/${etag}`, '*']) {
        const answer = await http.get(key, { ...token, 'if-none-match': tags });
        expect(answer.status, tags).toBe(304);
        expect(answer.bytes.length).toBe(0);
        expect(answer.headers['etag']).toBe(etag);
        expect(answer.headers['diptych-revision']).toBeTruthy();
        expect((await http.head(key, { ...token, 'if-none-match': tags })).status, `HEAD ${tags}`).toBe(304);
      }
      const other = await http.get(key, { ...token, 'if-none-match': old.headers['etag']! });
      expectEntry(other, 'new');
    });

    it('deletes with 204; then 404, for the next delete too, and every answer carries Diptych-Revision', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'short-lived');
      await readAfter(http, key, written);
      const deleted = await http.delete(key);
      expect(deleted.status).toBe(204);
      expect(deleted.headers['diptych-revision']).toBeTruthy();
      const read = await readAfter(http, key, deleted);
      expectProblem(read, 404, 'NOT_FOUND');
      expect(read.headers['diptych-revision']).toBeTruthy();
      const again = await http.delete(key);
      expectProblem(again, 404, 'NOT_FOUND');
      expect(again.headers['diptych-revision']).toBeTruthy();
      expect((await http.put(key, 'back')).status).toBe(201);
    });

    it('keeps an empty value', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, new Uint8Array(0), { 'content-type': 'text/plain' });
      expect(written.status).toBe(201);
      expectEntry(await readAfter(http, key, written), '', 'text/plain');
      // No body at all: neither a length nor a type.
      const bare = `${prefix()}bare`;
      const answer = await exchange(subject().origin, `PUT ${pathOf(bare)} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n`);
      expect(answer.status, answer.text).toBe(201);
      expectEntry(await readAfter(http, bare, answer), '');
    });

    it('keeps every byte', async () => {
      const { http, prefix } = subject();
      const key = prefix();
      const value = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
      expectEntry(await readAfter(http, key, await http.put(key, value)), value);
    });

    it.each([
      ['application/json', '{"broken": '],
      ['application/json', '{"__proto__":{"x":1},"constructor":{"prototype":{}}}'],
      ['application/json; charset=utf-8', ''],
      ['text/plain; charset=latin1', 'caf\u00e9'],
      ['application/x-www-form-urlencoded', 'a=1&&%zz='],
      ['multipart/form-data', 'no boundary anywhere'],
      ['image/svg+xml', '<svg/>'],
      ['application/vnd.example.v1+json;profile="a b"', 'null'],
      ['x-nobody/knows-this', '\u0000\u0001'],
      ['nonsense', 'not even a type'],
    ])('takes a value of type %j as it is: %j', async (type, value) => {
      const { http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, value, { 'content-type': type });
      expect(written.status, written.text).toBe(201);
      expectEntry(await readAfter(http, key, written), value, type);
    });

    it('takes a value without a type', async () => {
      const { http, origin, prefix } = subject();
      const key = prefix();
      const answer = await exchange(origin, `PUT ${pathOf(key)} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{"a":`);
      expect(answer.status, answer.text).toBe(201);
      expectEntry(await readAfter(http, key, answer), '{"a":', 'application/octet-stream');
    });

    it('takes a chunked value', async () => {
      const { http, origin, prefix } = subject();
      const key = prefix();
      const request = `PUT ${pathOf(key)} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n`;
      const answer = await exchange(origin, request);
      expect(answer.status, answer.text).toBe(201);
      expectEntry(await readAfter(http, key, answer), 'abcdefg');
    });

    it.each([
      ['a type of 257 bytes', 400, { 'content-type': `a/${'b'.repeat(255)}` }],
      ['a type beyond ASCII', 400, { 'content-type': 'text/caf\u00e9' }],
      ['an encoded body', 415, { 'content-encoding': 'gzip' }],
      ['a part of a value', 400, { 'content-range': 'bytes 0-4/100' }],
      ['a time limit that is none', 400, { 'diptych-timeout-ms': 'soon' }],
    ])('refuses %s and changes nothing', async (_title, status, headers) => {
      const { http, prefix } = subject();
      const key = prefix();
      const written = await http.put(key, 'kept', { 'content-type': `a/${'b'.repeat(254)}` });
      expect(written.status).toBe(201);
      const before = await headOfLog(subject());
      expectProblem(await http.put(key, 'lost', headers), status, 'INVALID_REQUEST');
      expectEntry(await readAfter(http, key, written), 'kept');
      expect(await headOfLog(subject())).toBe(before);
    });

    it('refuses a question mark that is not escaped, lest another key be written than was meant', async () => {
      const { http, prefix } = subject();
      const before = await headOfLog(subject());
      expectProblem(await http.send('PUT', `${pathOf(prefix())}?x=1`, { body: 'never' }), 400, 'INVALID_REQUEST');
      expect(await headOfLog(subject())).toBe(before);
    });
  });
}
