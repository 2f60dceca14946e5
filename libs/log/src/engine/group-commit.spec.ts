import { setImmediate as nextTurn } from 'node:timers/promises';
import { FakeClock } from '@diptych/kernel/testing';
import { within } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { nextRequestId, put, putRequest, remove, segmentsIn, soon, useLogs, valueOf } from '../../test/log-fixture.js';
import type { CommitEvent } from '../log.port.js';

const logs = useLogs();

/** Holds the next sync of a segment until released; then it fails, if a code is given. */
function heldSync(fileSystem: FaultyFileSystem, code?: string): { reached: Promise<void>; release: () => void } {
  let release: () => void = () => undefined;
  let reach: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  const wait = new Promise<void>((resolve) => (release = resolve));
  fileSystem.fault = (operation, path) => {
    if (operation !== 'sync' || !path.includes('.segment')) return undefined;
    fileSystem.fault = () => undefined;
    reach();
    return code === undefined ? { wait } : { wait, code };
  };
  return { reached, release };
}

it('writes and syncs once for all that wait', async () => {
  const fileSystem = new FaultyFileSystem();
  const batches: number[] = [];
  // Batches that take turns are for those that keep the disk waiting: what that is, is measured.
  const log = await logs.open({ fileSystem, pipelineAppendsMin: 1_000, onBatch: ({ appends }) => batches.push(appends) });
  const held = heldSync(fileSystem);
  const first = put(log, 'first', '1');
  await held.reached;
  const before = { writes: fileSystem.count('write'), syncs: fileSystem.count('sync') };
  const others = Array.from({ length: 200 }, (_, i) => put(log, `k${i}`, 'v'));
  held.release();
  await Promise.all([first, ...others]);
  expect(batches).toEqual([1, 200]);
  expect({ writes: fileSystem.count('write'), syncs: fileSystem.count('sync') }).toEqual({
    writes: before.writes + 1,
    syncs: before.syncs + 1,
  });
});

it('shows nothing before the sync, and everything in one step after it', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  const seen: string[] = [];
  await log.commits((event: CommitEvent) => {
    if (event.kind !== 'commit') return;
    seen.push(`${event.commit.key}: head ${log.status.headRevision}`);
  });
  await put(log, 'a', 'old');
  const held = heldSync(fileSystem);
  const answered: string[] = [];
  const append = put(log, 'a', 'new').then(() => {
    answered.push('append');
    expect(seen).toHaveLength(2);
  });
  await held.reached;
  expect(await valueOf(log, 'a')).toBe('old');
  expect(seen).toEqual(['a: head 1']);
  expect(answered).toEqual([]);
  held.release();
  await append;
  expect(await valueOf(log, 'a')).toBe('new');
  expect(seen).toEqual(['a: head 1', 'a: head 2']);
});

it('lets conditions see what is pending', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  const held = heldSync(fileSystem);
  const blocker = put(log, 'blocker', '1');
  await held.reached;
  const results = Promise.allSettled([
    put(log, 'a', '1', { kind: 'ifAbsent' }),
    put(log, 'a', '2', { kind: 'ifAbsent' }),
    put(log, 'a', '3', { kind: 'ifPresent' }),
    remove(log, 'a', { kind: 'ifRevision', anyOf: [{ incarnation: log.incarnation, partition: 0, revision: 3 }] }),
    put(log, 'a', '4', { kind: 'ifPresent' }),
    put(log, 'a', '5', { kind: 'ifAbsent' }),
  ]);
  held.release();
  await blocker;
  expect((await results).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  expect(await valueOf(log, 'a')).toBe('5');
});

it.each(['EIO', 'ENOSPC'])('decides again what was staged behind a batch that fails with %s', async (code) => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  await put(log, 'old', '1');
  const held = heldSync(fileSystem, code);
  const request = putRequest('a', '1');
  const failing = [log.append(request, soon()), remove(log, 'old')].map(async (append) => expect(append).rejects.toMatchObject({}));
  await held.reached;
  // Staged upon what is at the disk: a repeat, two conflicts, and one that only holds because of it.
  const behind = Promise.allSettled([
    log.append(request, soon()),
    put(log, 'old', '2', { kind: 'ifAbsent' }),
    put(log, 'old', '3', { kind: 'ifPresent' }),
    put(log, 'b', '1'),
    put(log, 'b', '2', { kind: 'ifRevision', anyOf: [{ incarnation: log.incarnation, partition: 0, revision: 4 }] }),
  ]);
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  held.release();
  await Promise.all(failing);
  expect(await behind).toMatchObject([
    { status: 'fulfilled', value: { position: { revision: 2 }, existed: false } },
    { status: 'rejected', reason: { code: 'CONFLICT' } },
    { status: 'fulfilled', value: { position: { revision: 3 }, existed: true } },
    { status: 'fulfilled', value: { position: { revision: 4 }, existed: false } },
    { status: 'fulfilled', value: { position: { revision: 5 }, existed: true } },
  ]);
  expect(await valueOf(log, 'old')).toBe('3');
});

it('answers what rests on the batch at the disk only when that is durable, and writes nothing for it', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  const held = heldSync(fileSystem);
  const request = putRequest('a', '1');
  const first = log.append(request, soon());
  await held.reached;
  const answered: string[] = [];
  const repeat = log.append(request, soon()).finally(() => answered.push('repeat'));
  const conflict = put(log, 'a', '2', { kind: 'ifAbsent' })
    .catch((error: { code: string }) => error.code)
    .finally(() => answered.push('conflict'));
  for (let turn = 0; turn < 5; turn++) await nextTurn();
  expect(answered).toEqual([]);
  const writes = fileSystem.count('write');
  held.release();
  expect(await repeat).toEqual(await first);
  expect(await conflict).toBe('CONFLICT');
  expect(fileSystem.count('write')).toBe(writes);
  expect(log.status).toMatchObject({ headRevision: 1, queued: 0 });
});

it('answers, and goes on, though whoever measures batches fails', async () => {
  const log = await logs.open({
    onBatch: () => {
      throw new Error('no room for figures');
    },
  });
  await put(log, 'a', '1');
  expect((await put(log, 'a', '2')).existed).toBe(true);
  expect(await valueOf(log, 'a')).toBe('2');
  expect(logs.warnings).toEqual(Array.from({ length: 2 }, () => 'measuring a batch failed: Error: no room for figures'));
});

it('stages the next batch while one is at the disk, and writes it as soon as the disk is free', async () => {
  const fileSystem = new FaultyFileSystem();
  const batches: number[] = [];
  const log = await logs.open({
    fileSystem,
    clock: new FakeClock(),
    pipelineAppendsMin: 10,
    onBatch: ({ appends }) => batches.push(appends),
  });
  const context = { deadlineMs: 60_000_000 };
  const append = (i: number) => log.append(putRequest(`k${i % 7}`, `v${i}`), context);
  await append(0);
  const held = heldSync(fileSystem);
  const first = append(1);
  await held.reached;
  const second = Array.from({ length: 10 }, (_, i) => append(2 + i));
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  // Those who are answered do not come along, since the next batch does not wait for them.
  const third = first.then(() => append(12));
  held.release();
  const replies = await Promise.all([first, ...second, third]);
  expect(batches).toEqual([1, 1, 10, 1]);
  expect(replies.map(({ position }) => position.revision)).toEqual(replies.map((_, i) => i + 2));
});

it('drops an append whose deadline passes while it waits, definitely', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  const held = heldSync(fileSystem);
  const blocker = put(log, 'blocker', '1');
  await held.reached;
  const controller = new AbortController();
  const late = log.append(putRequest('late', '1'), within(1));
  const cancelled = log.append(putRequest('cancelled', '1'), within(15_000, { signal: controller.signal }));
  const settled = Promise.allSettled([late, cancelled]);
  const inTime = put(log, 'in time', '1');
  controller.abort();
  const endMs = performance.now() + 2;
  await waitFor(() => performance.now() > endMs);
  held.release();
  await Promise.all([blocker, inTime]);
  expect(await settled).toMatchObject([
    { status: 'rejected', reason: { code: 'DEADLINE_EXCEEDED', definite: true } },
    { status: 'rejected', reason: { code: 'CANCELLED', definite: true } },
  ]);
  expect(await valueOf(log, 'late')).toBeUndefined();
  expect(await valueOf(log, 'cancelled')).toBeUndefined();
});

it('with a channel of 16, the 17th sender waits, up to its deadline', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, channelCapacity: 16 });
  const held = heldSync(fileSystem);
  const blocker = put(log, 'blocker', '1');
  await held.reached;
  const inside = Array.from({ length: 16 }, (_, i) => put(log, `inside${i}`, '1'));
  const seventeenth = log.append(putRequest('17', '1'), within(10));
  await expect(seventeenth).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', definite: true });
  const eighteenth = put(log, '18', '1');
  expect(log.status.queued).toBe(17);
  held.release();
  await Promise.all([blocker, ...inside, eighteenth]);
  expect(await valueOf(log, '17')).toBeUndefined();
  expect(await valueOf(log, '18')).toBe('1');
});

it('works with a channel of 0, and refuses more senders than may wait', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, channelCapacity: 0, sendersMax: 3 });
  const held = heldSync(fileSystem);
  const blocker = put(log, 'blocker', '1');
  await held.reached;
  const waiting = [1, 2, 3].map((i) => put(log, `k${i}`, '1'));
  await expect(put(log, 'k4', '1')).rejects.toMatchObject({ code: 'OVERLOADED', definite: true });
  held.release();
  await Promise.all([blocker, ...waiting]);
  expect(await valueOf(log, 'k3')).toBe('1');
});

it('bounds a batch in bytes, and still takes a larger append alone', async () => {
  const batches: number[] = [];
  const log = await logs.open({ batchBytesMax: 10_000, onBatch: ({ appends }) => batches.push(appends) });
  await Promise.all(Array.from({ length: 30 }, (_, i) => put(log, `k${i}`, 'v'.repeat(1_000))));
  await put(log, 'large', new Uint8Array(50_000));
  expect(Math.max(...batches)).toBeLessThanOrEqual(9);
  expect(batches.reduce((sum, appends) => sum + appends, 0)).toBe(31);
});

it('rotates segments, and reads from all of them', async () => {
  const log = await logs.open({ segmentBytes: 65_536 });
  for (let i = 0; i < 20; i++) await put(log, `k${i}`, new Uint8Array(10_000).fill(i));
  expect(log.status.segments).toBe(4);
  for (let i = 0; i < 20; i++) expect((await log.read({ key: `k${i}` }, soon())).entry!.value[9_999]).toBe(i);
  await log.close();
  const again = await logs.open({ segmentBytes: 65_536 });
  for (let i = 0; i < 20; i++) expect((await again.read({ key: `k${i}` }, soon())).entry!.value[9_999]).toBe(i);
  expect(segmentsIn(await logs.directory())).toHaveLength(4);
});

it('makes a new segment durable, its name too, before anything is written to it', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, segmentBytes: 65_536 });
  await put(log, 'a', new Uint8Array(60_000));
  fileSystem.journal.length = 0;
  await put(log, 'b', new Uint8Array(60_000));
  const name = '0000000000000002.segment';
  expect(fileSystem.journal.filter((line) => !line.startsWith('remove') && !line.startsWith('open'))).toEqual([
    `write ${name}.new`,
    `sync ${name}.new`,
    `rename ${name}`,
    'syncDirectory data',
    `write ${name}.new`,
    `sync ${name}.new`,
  ]);
});

it('finishes what it has taken when it closes, and refuses after that', async () => {
  const log = await logs.open();
  const appends = Array.from({ length: 100 }, (_, i) => put(log, `k${i}`, 'v'));
  await log.close();
  await Promise.all(appends);
  await expect(put(log, 'late', 'v')).rejects.toMatchObject({ code: 'UNAVAILABLE', definite: true });
  await expect(log.read({ key: 'k1' }, soon())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await log.close();
  const again = await logs.open();
  expect(again.status.keys).toBe(100);
});

it('sends beacons by its clock, and only while somebody listens', async () => {
  const clock = new FakeClock();
  const log = await logs.open({ clock, compactionGarbageRatio: 1 });
  expect(clock.pending).toBe(0);
  const events: CommitEvent[] = [];
  const subscription = await log.commits((event) => events.push(event));
  clock.advance(250);
  expect(events).toEqual(
    [0, 1, 2].map((i) => ({
      kind: 'beacon',
      head: { incarnation: log.incarnation, partition: 0, revision: 0 },
      sentWallMs: clock.wallMs() - 250 + i * 100,
    })),
  );
  subscription[Symbol.dispose]();
  expect(clock.pending).toBe(0);
});

it('a listener that throws keeps nobody from their due', async () => {
  const log = await logs.open();
  const seen: number[] = [];
  await log.commits(() => {
    throw new Error('careless');
  });
  await log.commits((event) => event.kind === 'commit' && seen.push(event.commit.revision));
  await put(log, 'a', '1', undefined, nextRequestId());
  expect(seen).toEqual([1]);
  expect(new Set(logs.warnings)).toEqual(new Set(['a listener to commits failed: Error: careless']));
});

it('the head is announced to the first who listens, before any commit', async () => {
  const log = await logs.open({ clock: new FakeClock() });
  const events: CommitEvent[] = [];
  await log.commits((event) => events.push(event));
  expect(events).toMatchObject([{ kind: 'beacon', head: { incarnation: log.incarnation, revision: 0 } }]);
});

it('bounds what waits by bytes too, and gives back what a deadline left waiting', async () => {
  const clock = new FakeClock();
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, clock, queueBytesMax: 100_000 });
  const append = (key: string, timeoutMs: number) =>
    log.append(putRequest(key, new Uint8Array(40_000)), { deadlineMs: clock.nowMs() + timeoutMs }).catch((error: unknown) => error);
  const { reached, release } = heldSync(fileSystem);
  const first = append('first', 60_000);
  await reached;
  const waiting = [append('b', 1_000), append('c', 1_000)];
  expect(await append('d', 1_000)).toMatchObject({ code: 'OVERLOADED', definite: true });
  clock.advance(1_100);
  for (const late of waiting) expect(await late).toMatchObject({ code: 'DEADLINE_EXCEEDED', definite: true });
  const next = append('e', 60_000);
  release();
  expect(await first).toMatchObject({ position: { revision: 1 } });
  expect(await next).toMatchObject({ position: { revision: 2 } });
  expect(log.status).toMatchObject({ keys: 2, queued: 0 });
});
