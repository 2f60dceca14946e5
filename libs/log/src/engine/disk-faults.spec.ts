import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { FakeClock } from '@diptych/kernel/testing';
import { waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import type { DiskOperation, Fault } from '../../test/faulty-file-system.js';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { put, putRequest, segmentsIn, soon, useLogs, valueOf } from '../../test/log-fixture.js';
import { SEGMENT_HEADER_BYTES } from './segment-header.js';

const logs = useLogs();

/** The fault once, for the first operation of this kind on a segment. */
function once(fileSystem: FaultyFileSystem, kind: DiskOperation, fault: Fault): void {
  fileSystem.fault = (operation, path) => {
    if (operation !== kind || !path.includes('.segment')) return undefined;
    fileSystem.fault = () => undefined;
    return fault;
  };
}

it.each<[string, DiskOperation, Fault]>([
  ['sync', 'sync', { code: 'EIO' }],
  ['write', 'write', { code: 'EIO' }],
  ['write, half-way', 'write', { code: 'EIO', bytes: 40 }],
])('a failed %s is never acknowledged, not announced, and recovered from', async (_, operation, fault) => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  const announced: number[] = [];
  await log.commits((event) => event.kind === 'commit' && announced.push(event.commit.revision));
  await put(log, 'a', 'old');
  once(fileSystem, operation, fault);
  const request = putRequest('a', 'new', { kind: 'ifPresent' });
  const failed = await Promise.allSettled([
    log.append(request, soon()),
    log.append(request, soon()),
    put(log, 'b', '1', { kind: 'ifAbsent' }),
    put(log, 'b', '2', { kind: 'ifAbsent' }),
  ]);
  for (const result of failed) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'INTERNAL', definite: false } });
  expect(await valueOf(log, 'a')).toBe('old');
  expect(announced).toEqual([1]);
  await log.append(request, soon());
  expect(await valueOf(log, 'a')).toBe('new');
  expect(await valueOf(log, 'b')).toBeUndefined();
  expect(announced).toEqual([1, 2]);
  expect(logs.warnings).toEqual([expect.stringContaining('EIO'), expect.stringContaining('open for writing again')]);
  await log.close();
  const again = await logs.open();
  expect(await valueOf(again, 'a')).toBe('new');
  expect(again.status).toMatchObject({ keys: 1, headRevision: 2, segments: 2 });
});

it('while it cannot be reopened it refuses writes with the reason, serves reads, and comes back by itself', async () => {
  const clock = new FakeClock();
  const fileSystem = new FaultyFileSystem();
  const context = () => ({ deadlineMs: clock.nowMs() + 600_000 });
  const log = await logs.open({ fileSystem, clock });
  await log.append(putRequest('a', '1'), context());
  fileSystem.fault = (operation) => (operation === 'sync' ? { code: 'EIO' } : undefined);
  await expect(log.append(putRequest('a', '2'), context())).rejects.toMatchObject({ code: 'INTERNAL' });
  await waitFor(() => !log.status.writable, { what: 'the refusal' });
  expect(log.status.reason).toMatch(/cannot be written to: EIO/);
  await expect(log.append(putRequest('a', '3'), context())).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    definite: true,
    message: log.status.reason,
  });
  const { entry } = await log.read({ key: 'a' }, context());
  expect(new TextDecoder().decode(entry!.value)).toBe('1');
  fileSystem.fault = () => undefined;
  await waitFor(() => (clock.advance(5_000), log.status.writable), { what: 'writing again' });
  expect((await log.append(putRequest('a', '4'), context())).position.revision).toBe(2);
});

it('closes while it cannot be reopened, and what waits is refused', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  fileSystem.fault = (operation) => (operation === 'sync' || operation === 'truncate' ? { code: 'EIO' } : undefined);
  const appends = Promise.allSettled([put(log, 'a', '1'), put(log, 'b', '1')]);
  await waitFor(() => !log.status.writable);
  await log.close();
  for (const result of await appends) expect(result).toMatchObject({ status: 'rejected', reason: { definite: false } });
  fileSystem.fault = () => undefined;
  // The write was done and could not be taken back: that is what an indefinite error means. Both or none.
  expect([0, 2]).toContain((await logs.open()).status.keys);
});

it.each<[string, DiskOperation, Fault]>([
  ['write', 'write', { code: 'ENOSPC' }],
  ['write, half-way', 'write', { code: 'ENOSPC', bytes: 33 }],
  ['sync', 'sync', { code: 'ENOSPC' }],
  ['write, by quota', 'write', { code: 'EDQUOT' }],
])('no space on %s is STORAGE_FULL, definite because the partial write is cut off', async (_, operation, fault) => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, roomBytes: 0 });
  await put(log, 'a', 'old');
  const sizeBefore = log.status.diskBytes;
  for (let i = 0; i < 3; i++) {
    once(fileSystem, operation, fault);
    const syncs = fileSystem.count('sync');
    await expect(put(log, 'a', `new ${i}`)).rejects.toMatchObject({ code: 'STORAGE_FULL', definite: true });
    expect(fileSystem.count('sync')).toBeGreaterThan(syncs);
    expect(await valueOf(log, 'a')).toBe('old');
  }
  expect(log.status).toMatchObject({ writable: true, diskBytes: sizeBefore });
  await put(log, 'a', 'new');
  await log.close();
  expect(await valueOf(await logs.open(), 'a')).toBe('new');
  expect(logs.warnings).toEqual([]);
});

it.each<DiskOperation>(['truncate', 'sync'])('no space, and a cut whose %s fails once, is indefinite', async (step) => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  await put(log, 'a', 'old');
  let cuts = 0;
  fileSystem.fault = (operation) => {
    if (operation === 'write') return { code: 'ENOSPC', bytes: 10 };
    if (operation === step && cuts++ === 0) return { code: 'EIO' };
    return undefined;
  };
  await expect(put(log, 'a', 'new')).rejects.toMatchObject({ code: 'INTERNAL', definite: false });
  await waitFor(() => !log.status.writable);
  fileSystem.fault = () => undefined;
  await waitFor(() => log.status.writable);
  await put(log, 'a', 'new');
  expect(await valueOf(log, 'a')).toBe('new');
});

it('no space for the next segment is STORAGE_FULL too, and passes', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, segmentBytes: 65_536 });
  await put(log, 'a', new Uint8Array(60_000));
  fileSystem.fault = (operation, path) => (operation === 'open' && path.endsWith('.new') ? { code: 'ENOSPC' } : undefined);
  await expect(put(log, 'b', new Uint8Array(60_000))).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  fileSystem.fault = () => undefined;
  await put(log, 'b', new Uint8Array(60_000));
  expect(log.status).toMatchObject({ keys: 2, segments: 2 });
});

it('a full disk does not keep a log from opening and serving reads', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  await put(log, 'a', '1');
  fileSystem.fault = (operation) => (operation === 'write' ? { code: 'ENOSPC' } : undefined);
  await log.close();
  const again = await logs.open({ fileSystem });
  expect(await valueOf(again, 'a')).toBe('1');
  await expect(put(again, 'a', '2')).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  fileSystem.fault = () => undefined;
  await put(again, 'a', '2');
});

it('a write that a full disk refused leaves its number: a torn tail after it is still told from damage', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  await put(log, 'a', 'old');
  once(fileSystem, 'write', { code: 'ENOSPC' });
  await expect(put(log, 'b', 'x')).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  const [path] = segmentsIn(await logs.directory());
  const before = statSync(path!).size;
  await Promise.all([put(log, 'c', 'one'), put(log, 'd', 'two')]);
  const image = readFileSync(path!);
  await log.close();
  writeFileSync(path!, image.fill(0, before, before + 20));
  const again = await logs.open();
  expect(await valueOf(again, 'a')).toBe('old');
  expect(again.status.keys).toBe(1);
});

it('after a torn batch that was kept in part, the next write is told from it, on a full disk too', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, roomBytes: 0 });
  await Promise.all([put(log, 'kept', '1'), put(log, 'torn', '1')]);
  const [path] = segmentsIn(await logs.directory());
  const image = readFileSync(path!);
  await log.close();
  writeFileSync(path!, image.subarray(0, image.length - 3));
  fileSystem.fault = (operation, path) => (path.endsWith('.new') && operation === 'open' ? { code: 'ENOSPC' } : undefined);
  const again = await logs.open({ fileSystem });
  expect(await valueOf(again, 'kept')).toBe('1');
  await expect(put(again, 'c', '1')).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  fileSystem.fault = () => undefined;
  await Promise.all([put(again, 'c', '1'), put(again, 'd', '1')]);
  const newest = segmentsIn(await logs.directory()).at(-1)!;
  const crashed = readFileSync(newest);
  await again.close();
  writeFileSync(newest, crashed.fill(0, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 20));
  expect((await logs.open()).status.keys).toBe(1);
});

it.each(['ENOSPC', 'EIO'])('%s after the rename of a rotation leaves no segment behind', async (code) => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, segmentBytes: 65_536 });
  await put(log, 'a', 'old');
  fileSystem.fault = (operation) => (operation === 'syncDirectory' ? ((fileSystem.fault = () => undefined), { code }) : undefined);
  await expect(put(log, 'big', new Uint8Array(70_000))).rejects.toMatchObject({ definite: code === 'ENOSPC' });
  await put(log, 'small', 'acknowledged');
  await log.close();
  const again = await logs.open();
  expect(await valueOf(again, 'small')).toBe('acknowledged');
  expect(again.status.keys).toBe(2);
});

it.each([1, Infinity])(
  'a sync that fails while the log closes is recovered from before the next write, or that is refused (%d faults)',
  async (faults) => {
    const fileSystem = new FaultyFileSystem();
    const log = await logs.open({ fileSystem });
    await put(log, 'a', 'old');
    let release: () => void = () => undefined;
    const wait = new Promise<void>((resolve) => (release = resolve));
    let count = 0;
    fileSystem.fault = (operation, path) =>
      operation === 'sync' && path.includes('.segment') && count++ < faults ? { code: 'EIO', wait } : undefined;
    const first = put(log, 'b', 'x').catch((error: unknown) => error);
    await waitFor(() => count === 1);
    const second = put(log, 'c', 'y').catch((error: unknown) => error);
    await waitFor(() => log.status.queued === 1);
    fileSystem.journal.length = 0;
    const closing = log.close();
    release();
    expect(await first).toMatchObject({ code: 'INTERNAL', definite: false });
    if (faults === 1) expect(await second).toMatchObject({ position: { revision: 2 } });
    else expect(await second).toMatchObject({ code: 'UNAVAILABLE', definite: true });
    await closing;
    const opened = fileSystem.journal.findIndex((line) => line.startsWith('open '));
    const written = fileSystem.journal.findIndex((line) => line.startsWith('write '));
    expect(opened).toBeGreaterThanOrEqual(0);
    if (faults === 1) expect(written).toBeGreaterThan(opened);
    else expect(written).toBe(-1);
    fileSystem.fault = () => undefined;
    expect(await valueOf(await logs.open(), 'c')).toBe(faults === 1 ? 'y' : undefined);
  },
);

it('close does not wait for the pause between two attempts to recover', async () => {
  const clock = new FakeClock();
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, clock });
  let release: () => void = () => undefined;
  const wait = new Promise<void>((resolve) => (release = resolve));
  let attempts = 0;
  fileSystem.fault = (operation, path) => {
    if (operation === 'sync') return { code: 'EIO' };
    return operation === 'open' && path.includes('.segment') && ++attempts === 1 ? { code: 'EIO', wait } : undefined;
  };
  await expect(log.append(putRequest('a', '1'), { deadlineMs: clock.nowMs() + 60_000 })).rejects.toMatchObject({ code: 'INTERNAL' });
  await waitFor(() => attempts === 1);
  const closing = log.close();
  release();
  // The clock stands still: a pause would never end.
  await closing;
  expect(attempts).toBe(2);
});

it('short writes and short reads are carried on', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  fileSystem.fault = (operation) => (operation === 'write' ? { bytes: 7 } : undefined);
  await put(log, 'a', 'a value of more than seven bytes');
  expect(await valueOf(log, 'a')).toBe('a value of more than seven bytes');
  await log.close();
  expect(await valueOf(await logs.open(), 'a')).toBe('a value of more than seven bytes');
});

it('an open that fails at its last step leaves no file open', async () => {
  const log = await logs.open();
  await put(log, 'a', '1');
  const [path] = segmentsIn(await logs.directory());
  const image = readFileSync(path!);
  await log.close();
  writeFileSync(path!, image);
  const fileSystem = new FaultyFileSystem();
  let syncs = 0;
  fileSystem.fault = (operation) => (operation === 'sync' && ++syncs === 2 ? { code: 'EIO' } : undefined);
  await expect(logs.open({ fileSystem })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(fileSystem.openFiles).toBe(0);
});

it('tells callers no path of this machine', async () => {
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem });
  fileSystem.fault = (operation) => (operation === 'write' ? { code: 'ENOSPC' } : undefined);
  const messageOf = () =>
    put(log, 'a', '1').then(
      () => 'no error',
      (error: Error) => error.message,
    );
  const messages = [await messageOf()];
  fileSystem.fault = (operation, path) =>
    operation === 'write' || (operation === 'open' && path.includes('.segment')) ? { code: 'EIO' } : undefined;
  messages.push(await messageOf());
  await waitFor(() => !log.status.writable);
  messages.push(await messageOf());
  messages.push(log.status.reason!);
  expect(messages.join('\n')).not.toContain('/');
  expect(messages[2]).toContain('0000000000000001.segment');
});
