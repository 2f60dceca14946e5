import { within } from '@diptych/kernel';
import type { Open } from '@diptych/messaging/testing';
import { waitFor } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import type { CommitEvent, LogPort } from '../src/index.js';
import { KEY_BYTES_MAX, NO_INCARNATION, VALUE_BYTES_MAX } from '../src/index.js';
import { allKeys, bytesOf, nextRequestId, put, putRequest, remove, soon, valueOf } from './log-fixture.js';

/** What every LogPort promises, whatever lies between it and its caller. */
export function logContract(open: Open<LogPort>): void {
  describe('append and read', () => {
    it('answers with the position, and with whether the key was there before', async () => {
      const log = await open();
      const first = await put(log, 'a', '1');
      const second = await put(log, 'a', '2');
      expect(first.existed).toBe(false);
      expect(second).toEqual({ position: { ...first.position, revision: first.position.revision + 1 }, existed: true });
      const read = await log.read({ key: 'a' }, soon());
      expect(read.entry).toEqual({ key: 'a', value: bytesOf('2'), contentType: 'text/plain', revision: second.position.revision });
      expect(read.asOf).toEqual(second.position);
    });

    it('answers an absent key with a value, not an error', async () => {
      const log = await open();
      const { position } = await put(log, 'there', '1');
      expect(await log.read({ key: 'not there' }, soon())).toEqual({ asOf: position });
    });

    it('deletes, and records the deletion of an absent key too', async () => {
      const log = await open();
      await put(log, 'a', '1');
      const deleted = await remove(log, 'a');
      expect(deleted.existed).toBe(true);
      expect(await valueOf(log, 'a')).toBeUndefined();
      const again = await remove(log, 'a');
      expect(again).toEqual({ position: { ...deleted.position, revision: deleted.position.revision + 1 }, existed: false });
      expect((await put(log, 'a', '2')).existed).toBe(false);
    });

    it.each([
      ['an empty value', 'k', new Uint8Array(0)],
      ['every byte', 'k', Uint8Array.from({ length: 256 }, (_, i) => i)],
      ['a record longer than 64 KiB', 'k', new Uint8Array(70_000).fill(7)],
      ['the largest value', 'k', new Uint8Array(VALUE_BYTES_MAX).fill(1)],
      ['a key with a newline, a tab, a zero and a slash', 'a\n\t\0/../b', bytesOf('v')],
      ['a key of 1,024 bytes', '\u{1F600}'.repeat(256), bytesOf('v')],
    ])('keeps %s', async (_, key, value) => {
      const log = await open();
      await put(log, key, value);
      const { entry } = await log.read({ key }, soon());
      expect(entry!.key).toBe(key);
      expect(Buffer.compare(entry!.value, value)).toBe(0);
      expect(await allKeys(log)).toEqual([key]);
    });

    it.each([
      ['an empty key', putRequest('', 'v'), 'INVALID_REQUEST'],
      ['a key of 1,025 bytes', putRequest('é'.repeat(KEY_BYTES_MAX / 2) + 'x', 'v'), 'TOO_LARGE'],
      ['a value over the bound', putRequest('k', new Uint8Array(VALUE_BYTES_MAX + 1)), 'TOO_LARGE'],
      ['an empty request id', putRequest('k', 'v', undefined, ''), 'INVALID_REQUEST'],
      ['a request id with a newline', putRequest('k', 'v', undefined, 'a\nb'), 'INVALID_REQUEST'],
      ['a request id of 129 characters', putRequest('k', 'v', undefined, 'r'.repeat(129)), 'INVALID_REQUEST'],
      [
        'a content type with a line break',
        { mutation: { kind: 'put', key: 'k', value: bytesOf('v'), contentType: 'a\r\nb' }, requestId: 'r' } as const,
        'INVALID_REQUEST',
      ],
    ])('refuses %s, and nothing changes', async (_, request, code) => {
      const log = await open();
      const { position } = await put(log, 'before', '1');
      await expect(log.append(request, soon())).rejects.toMatchObject({ code, definite: true });
      expect((await log.read({ key: 'before' }, soon())).asOf).toEqual(position);
    });

    it('gives out values that nobody else holds', async () => {
      const log = await open();
      const given = bytesOf('original');
      await put(log, 'a', given);
      given.fill(0);
      const { entry } = await log.read({ key: 'a' }, soon());
      entry!.value.fill(0);
      expect(await valueOf(log, 'a')).toBe('original');
    });

    it('refuses a call whose deadline has passed, definitely', async () => {
      const log = await open();
      const late = log.append(putRequest('a', '1'), within(-1));
      await expect(late).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', definite: true });
      expect(await valueOf(log, 'a')).toBeUndefined();
    });

    it('refuses a call that was cancelled before, definitely', async () => {
      const log = await open();
      const cancelled = log.append(putRequest('a', '1'), within(1_000, { signal: AbortSignal.abort() }));
      await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED', definite: true });
      expect(await valueOf(log, 'a')).toBeUndefined();
    });
  });

  describe('conditions', () => {
    it('ifAbsent holds for an absent key only', async () => {
      const log = await open();
      await put(log, 'a', '1', { kind: 'ifAbsent' });
      await expect(put(log, 'a', '2', { kind: 'ifAbsent' })).rejects.toMatchObject({ code: 'CONFLICT', definite: true });
      await remove(log, 'a');
      await put(log, 'a', '3', { kind: 'ifAbsent' });
      expect(await valueOf(log, 'a')).toBe('3');
    });

    it('ifPresent holds for a present key only', async () => {
      const log = await open();
      await expect(put(log, 'a', '1', { kind: 'ifPresent' })).rejects.toMatchObject({ code: 'CONFLICT' });
      await expect(remove(log, 'a', { kind: 'ifPresent' })).rejects.toMatchObject({ code: 'CONFLICT' });
      await put(log, 'a', '2');
      expect((await put(log, 'a', '3', { kind: 'ifPresent' })).existed).toBe(true);
    });

    it('ifRevision holds for the revision that wrote the entry, of this incarnation and partition', async () => {
      const log = await open();
      const old = (await put(log, 'a', '1')).position;
      const now = (await put(log, 'a', '2')).position;
      const conditions = [[], [old], [{ ...now, incarnation: 'ffffffffffffffff' }], [{ ...now, partition: 7 }]];
      for (const anyOf of conditions)
        await expect(put(log, 'a', 'x', { kind: 'ifRevision', anyOf })).rejects.toMatchObject({ code: 'CONFLICT' });
      await put(log, 'a', '3', { kind: 'ifRevision', anyOf: [old, now] });
      expect(await valueOf(log, 'a')).toBe('3');
      await expect(put(log, 'absent', 'x', { kind: 'ifRevision', anyOf: [now] })).rejects.toMatchObject({ code: 'CONFLICT' });
    });

    it('of many at once, one creates', async () => {
      const log = await open();
      const tries = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => put(log, 'a', `${i}`, { kind: 'ifAbsent' })));
      expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const codes = tries.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
      expect(new Set(codes)).toEqual(new Set(['CONFLICT']));
    });

    it('a chain of revisions, sent one after the other, loses no step', async () => {
      const log = await open();
      let { position } = await put(log, 'counter', '0');
      for (let i = 1; i <= 20; i++) ({ position } = await put(log, 'counter', `${i}`, { kind: 'ifRevision', anyOf: [position] }));
      expect(await valueOf(log, 'counter')).toBe('20');
    });
  });

  describe('request ids', () => {
    it('a repeat gets the first answer and changes nothing', async () => {
      const log = await open();
      const request = putRequest('a', '1', { kind: 'ifAbsent' });
      const first = await log.append(request, soon());
      await put(log, 'a', '2');
      expect(await log.append(request, soon())).toEqual(first);
      expect(await valueOf(log, 'a')).toBe('2');
    });

    it('a repeat sent while the first is pending gets its answer', async () => {
      const log = await open();
      const request = putRequest('a', '1', { kind: 'ifAbsent' });
      const [first, ...others] = await Promise.all(Array.from({ length: 10 }, () => log.append(request, soon())));
      for (const other of others) expect(other).toEqual(first);
      expect((await put(log, 'b', '1')).position.revision).toBe(first!.position.revision + 1);
    });

    it('a repeated delete gets the first answer, after the key came back too', async () => {
      const log = await open();
      await put(log, 'a', '1');
      const id = nextRequestId();
      const first = await remove(log, 'a', undefined, id);
      await put(log, 'a', '2');
      expect(await remove(log, 'a', undefined, id)).toEqual(first);
      expect(await valueOf(log, 'a')).toBe('2');
    });

    it('the same id with another mutation or condition is refused', async () => {
      const log = await open();
      const id = nextRequestId();
      await put(log, 'a', '1', undefined, id);
      const others = [
        put(log, 'a', '2', undefined, id),
        put(log, 'b', '1', undefined, id),
        put(log, 'a', '1', { kind: 'ifPresent' }, id),
        remove(log, 'a', undefined, id),
      ];
      for (const other of others) await expect(other).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
      expect(await valueOf(log, 'a')).toBe('1');
    });

    it('a failed condition is not remembered', async () => {
      const log = await open();
      const request = putRequest('a', '1', { kind: 'ifPresent' });
      await expect(log.append(request, soon())).rejects.toMatchObject({ code: 'CONFLICT' });
      await put(log, 'a', '0');
      await log.append(request, soon());
      expect(await valueOf(log, 'a')).toBe('1');
    });
  });

  listAndReport(open);
  committedAndCommits(open);
}

function listAndReport(open: Open<LogPort>): void {
  describe('list', () => {
    it('orders keys by their UTF-8 bytes, beyond the basic plane too', async () => {
      const log = await open();
      const keys = ['b', 'a', 'é', '～', '\u{1F600}', '\u{10FFFF}', '\uE000', 'Z', 'a\0', 'aa'];
      await Promise.all(keys.map((key) => put(log, key, key)));
      const byBytes = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await allKeys(log)).toEqual(byBytes);
      expect(await allKeys(log, '', 3)).toEqual(byBytes);
    });

    it('gives the keys under a prefix, after a key, with revisions and sizes', async () => {
      const log = await open();
      const replies = new Map<string, number>();
      for (const key of ['x/1', 'x/2', 'x/3', 'y/1']) replies.set(key, (await put(log, key, 'v'.repeat(key.length))).position.revision);
      const page = await log.list({ prefix: 'x/', limit: 2 }, soon());
      expect(page).toEqual({
        keys: [
          { key: 'x/1', revision: replies.get('x/1'), bytes: 3 },
          { key: 'x/2', revision: replies.get('x/2'), bytes: 3 },
        ],
        next: 'x/2',
      });
      expect(await log.list({ prefix: 'x/', after: page.next, limit: 2 }, soon())).toEqual({
        keys: [{ key: 'x/3', revision: replies.get('x/3'), bytes: 3 }],
      });
      expect(await log.list({ prefix: 'x/', after: 'a', limit: 1 }, soon())).toMatchObject({ keys: [{ key: 'x/1' }] });
      expect(await log.list({ prefix: 'x/', after: 'y/1', limit: 1 }, soon())).toEqual({ keys: [] });
    });

    it('gives the longest keys in pages that fit a message', async () => {
      const log = await open();
      const keys = Array.from({ length: 400 }, (_, i) => `${String(i).padStart(4, '0')}${'\0'.repeat(1_020)}`);
      await Promise.all(keys.map((key) => put(log, key, 'v')));
      expect(await allKeys(log)).toEqual(keys);
    });

    it.each([0, 1_001, 1.5])('refuses a limit of %d', async (limit) => {
      const log = await open();
      await expect(log.list({ prefix: '', limit }, soon())).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    });
  });

  describe('report', () => {
    it('counts, measures and fingerprints what is under a prefix', async () => {
      const log = await open();
      await put(log, 'x/a', 'abcabc');
      await put(log, 'x/b', '');
      await put(log, 'y', 'zzz');
      const { position } = await put(log, 'x/c', 'gone');
      await remove(log, 'x/c');
      const report = await log.report({ prefix: 'x/' }, soon());
      expect(report).toMatchObject({ entries: 2, keyBytes: 6, valueBytes: 6, asOf: { revision: position.revision + 1 } });
      expect(report.sizes).toEqual([1, 0, 0, 1, ...new Array(17).fill(0)]);
      expect(report.topTrigrams).toEqual([
        { trigramHex: '616263', count: 2 },
        { trigramHex: '626361', count: 1 },
        { trigramHex: '636162', count: 1 },
      ]);
      expect(report.contentHash).toMatch(/^[0-9a-f]{64}$/);
    });

    it('depends on what is there, not on how it came about', async () => {
      const one = await open();
      const two = await open();
      await put(one, 'a', '1');
      await put(one, 'b', '2');
      await put(two, 'b', 'x');
      await put(two, 'c', 'x');
      await put(two, 'b', '2');
      await put(two, 'a', '1');
      await remove(two, 'c');
      const { asOf: _, ...expected } = await one.report({ prefix: '' }, soon());
      expect(await two.report({ prefix: '' }, soon())).toMatchObject(expected);
    });
  });
}

function committedAndCommits(open: Open<LogPort>): void {
  describe('committed', () => {
    it('pages through the commits after a position', async () => {
      const log = await open();
      const { position } = await put(log, 'a', '1');
      await put(log, 'b', '1');
      await remove(log, 'a');
      const start = { ...position, revision: 0 };
      const head = { ...position, revision: 3 };
      const commits = [
        { key: 'a', revision: 1, previous: 0, deleted: false },
        { key: 'b', revision: 2, previous: 1, deleted: false },
        { key: 'a', revision: 3, previous: 2, deleted: true },
      ];
      expect(await log.committed({ after: start, limit: 2 }, soon())).toMatchObject({ kind: 'page', commits: commits.slice(0, 2), head });
      expect(await log.committed({ after: { ...start, revision: 2 }, limit: 2 }, soon())).toMatchObject({
        kind: 'page',
        commits: commits.slice(2),
        head,
      });
      expect(await log.committed({ after: head, limit: 2 }, soon())).toMatchObject({ kind: 'page', commits: [], head });
    });

    it('answers RESYNC for another incarnation and for a position it has not reached', async () => {
      const log = await open();
      const { position } = await put(log, 'a', '1');
      for (const after of [
        { ...position, incarnation: NO_INCARNATION },
        { ...position, revision: 99 },
      ])
        expect(await log.committed({ after, limit: 10 }, soon())).toMatchObject({ kind: 'resync', head: position });
    });
  });

  describe('commits', () => {
    it('announces each mutation, linked to the one before, and the head by a beacon', async () => {
      const log = await open();
      const events: CommitEvent[] = [];
      using _subscription = await log.commits((event) => events.push(event));
      await Promise.all(Array.from({ length: 20 }, (_, i) => put(log, `k${i}`, 'v')));
      const { position } = await remove(log, 'k0');
      const commits = () => events.flatMap((event) => (event.kind === 'commit' ? [event.commit] : []));
      await waitFor(() => commits().length === 21, { what: 'all commits' });
      expect(commits().map(({ revision, previous }) => [revision, previous])).toEqual(Array.from({ length: 21 }, (_, i) => [i + 1, i]));
      expect(commits().at(-1)).toEqual({ key: 'k0', revision: 21, previous: 20, deleted: true });
      await waitFor(() => events.some((event) => event.kind === 'beacon' && event.head.revision === position.revision), {
        what: 'a beacon',
      });
    });

    it('announces nothing for a condition that failed or a repeat, and nothing after the end of a subscription', async () => {
      const log = await open();
      const revisions: number[] = [];
      const subscription = await log.commits((event) => event.kind === 'commit' && revisions.push(event.commit.revision));
      const request = putRequest('a', '1');
      await log.append(request, soon());
      await log.append(request, soon());
      await expect(put(log, 'a', '2', { kind: 'ifAbsent' })).rejects.toMatchObject({ code: 'CONFLICT' });
      await put(log, 'b', '1');
      await waitFor(() => revisions.length === 2, { what: 'two commits' });
      subscription[Symbol.dispose]();
      await put(log, 'c', '1');
      expect(revisions).toEqual([1, 2]);
    });
  });
}
