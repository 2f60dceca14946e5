import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { TempDir } from '@diptych/testing';
import { tempDir, waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { put, putRequest, useLogs, valueOf } from '../../test/log-fixture.js';
import type { FileLog } from '../index.js';
import type { ByteBlock } from './byte-block.js';
import { byteBlock } from './byte-block.js';
import { CommitThread, NotBegun } from './commit-thread.js';
import { ROOM_BYTE } from './record-layout.js';
import { encodeRecord } from './record.js';
import { RecordView } from './record-view.js';
import { verifyLog } from './verify.js';

const descriptors: number[] = [];
afterEach(() => descriptors.splice(0).forEach((descriptor) => closeSync(descriptor)));
afterEach(() => vi.restoreAllMocks());

function opened(path: string): number {
  const descriptor = openSync(path, 'r+');
  descriptors.push(descriptor);
  return descriptor;
}

describe('CommitThread', () => {
  const SEED = 0xfedc_ba98;
  const at = (length: number, position = 0, roomBytes = 0) => ({ length, position, seed: SEED, roomBytes });

  function records(block: ByteBlock, count: number): number {
    let length = 0;
    for (let i = 0; i < count; i++) length += encodeRecord(block, length, putRequest(`key ${i}`, `value ${i}`, undefined, `request ${i}`));
    return length;
  }

  /** Once it takes batches; those before are of no effect. */
  async function running(thread: CommitThread): Promise<void> {
    const block = byteBlock(100);
    const none = opened('/dev/null');
    const tried = () => {
      thread.count();
      return thread.commit(none, block, at(0))?.catch(() => true);
    };
    await waitFor(tried, { timeoutMs: 60_000, what: 'the thread runs' });
  }

  /** A thread that runs, and a file for it. */
  async function begun(directory: TempDir): Promise<{ path: string; descriptor: number; thread: CommitThread }> {
    const path = join(directory.path, 'file');
    const descriptor = openSync(path, 'wx+');
    descriptors.push(descriptor);
    const thread = new CommitThread(0);
    await running(thread);
    return { path, descriptor, thread };
  }

  it('completes records, writes and syncs them where they belong, more and more of them', async () => {
    await using directory = await tempDir('diptych-commit-thread-');
    const { path, descriptor, thread } = await begun(directory);
    const record = new RecordView();
    // What was written before stays as it is.
    let before: { block: ByteBlock; length: number; written: Buffer } | undefined;
    for (let round = 0, position = 7; round < 5; round++) {
      const block = byteBlock(200_000 << round);
      const length = records(block, 800 << round);
      const roomBytes = round % 2 === 0 ? 100_000 : 0;
      const { block: copy, hasRoom } = (await thread.commit(descriptor, block, at(length, position, roomBytes)))!;
      expect(hasRoom).toBe(true);
      const written = readFileSync(path).subarray(position);
      expect(written.subarray(0, length).equals(copy.bytes.subarray(0, length))).toBe(true);
      expect(before?.block.bytes.subarray(0, before.length).equals(before.written)).not.toBe(false);
      before = { block: copy, length, written: written.subarray(0, length) };
      expect(written.subarray(length).equals(Buffer.alloc(roomBytes, ROOM_BYTE))).toBe(true);
      for (let offset = 0; offset < length; offset += record.length) expect(record.at(written, offset, length, SEED)).toBe('whole');
      position += length;
    }
    await thread.close();
  });

  it('leaves to others what it cannot do: before so many were counted, and after its end', async () => {
    const begun = vi.spyOn(Worker.prototype, 'unref');
    const thread = new CommitThread(2);
    const block = byteBlock(4_096);
    const length = records(block, 1);
    for (const threads of [0, 0, 1]) {
      expect(thread.commit(0, block, at(length))).toBeUndefined();
      thread.count();
      expect(begun).toHaveBeenCalledTimes(threads);
    }
    await running(thread);
    await thread.close();
    expect(thread.commit(0, block, at(length))).toBeUndefined();
  });

  it.each([
    ['a write', '/dev/full', 'ENOSPC'],
    ['a sync', '/dev/null', 'EINVAL'],
  ])('says how %s failed', async (_, path, code) => {
    const thread = new CommitThread(0);
    await running(thread);
    const block = byteBlock(4_096);
    await expect(thread.commit(opened(path), block, at(records(block, 1)))).rejects.toMatchObject({ code });
    await thread.close();
  });

  it('does not begin what was to come behind a batch that failed, but does what is asked of it after that', async () => {
    await using directory = await tempDir('diptych-commit-thread-');
    const { path, descriptor, thread } = await begun(directory);
    const block = byteBlock(4_096);
    const length = records(block, 1);
    const full = opened('/dev/full');
    for (let size = 0; size < length * 6; size += length * 2) {
      const outcomes = await Promise.allSettled([
        thread.commit(full, block, at(length)),
        thread.commit(descriptor, block, at(length, size)),
      ]);
      expect(outcomes).toMatchObject([{ reason: { code: 'ENOSPC' } }, { reason: expect.any(NotBegun) }]);
      expect(readFileSync(path)).toHaveLength(size);
      await Promise.all([size, size + length].map((position) => thread.commit(descriptor, block, at(length, position))!));
      expect(readFileSync(path)).toHaveLength(size + length * 2);
    }
    await thread.close();
  });

  it('that ends fails what it was about', async () => {
    await using directory = await tempDir('diptych-commit-thread-');
    const descriptor = openSync(join(directory.path, 'file'), 'wx+');
    descriptors.push(descriptor);
    const thread = new CommitThread(0);
    await running(thread);
    // So much that it cannot be done before the thread is told to end.
    const block = byteBlock(64 * 1024 * 1024);
    const length = records(block, 150_000);
    const outcome = thread.commit(descriptor, block, at(length))!.then(
      () => 'acknowledged',
      (error: Error) => error.message,
    );
    await thread.close();
    expect(await outcome).toBe('the thread that writes the log ended');
  });
});

describe('a log whose batches a thread commits', () => {
  const logs = useLogs();

  async function open(): Promise<{ log: FileLog; disk: FaultyFileSystem }> {
    const disk = new FaultyFileSystem();
    disk.unwatched = true;
    const log = await logs.open({ fileSystem: disk, commitThreadAfter: 0, roomBytes: 0 });
    // Until no write comes by the disk that counts.
    await waitFor(
      async () => {
        const before = disk.count('write');
        await put(log, 'a', 'old');
        return disk.count('write') === before;
      },
      { timeoutMs: 60_000, what: 'the thread commits' },
    );
    return { log, disk };
  }

  it('holds what was acknowledged', async () => {
    const { log } = await open();
    const keys = Array.from({ length: 500 }, (_, i) => `key ${i}`);
    await Promise.all(keys.map((key) => put(log, key, `value of ${key}`)));
    expect(await verifyLog(await logs.directory())).toMatchObject({ head: log.status.headRevision, unfinished: undefined });
    await log.close();
    const again = await logs.open();
    expect(await Promise.all(keys.map((key) => valueOf(again, key)))).toEqual(keys.map((key) => `value of ${key}`));
    expect(logs.warnings).toEqual([]);
  });

  it('loses nothing that was acknowledged when the thread ends under load, and goes on without it', async () => {
    const begun = vi.spyOn(Worker.prototype, 'unref');
    const { log } = await open();
    const acknowledged: string[] = [];
    const failures: unknown[] = [];
    let ended = false;
    const client = async (name: number) => {
      for (let i = 0, after = 0; after < 20; i++, after += ended ? 1 : 0) {
        const key = `${name} ${i}`;
        await put(log, key, `value of ${key}`).then(
          () => acknowledged.push(key),
          (error: unknown) => failures.push(error),
        );
      }
    };
    const clients = Array.from({ length: 32 }, (_, name) => client(name));
    await waitFor(() => acknowledged.length > 500, { timeoutMs: 60_000, what: 'load' });
    await (begun.mock.contexts[0] as Worker).terminate();
    ended = true;
    const before = acknowledged.length;
    await Promise.all(clients);
    expect(acknowledged.length).toBeGreaterThan(before);
    for (const error of failures) expect(error).toMatchObject({ code: 'INTERNAL', definite: false });
    expect(failures).not.toHaveLength(0);
    await log.close();
    const again = await logs.open();
    expect(await Promise.all(acknowledged.map((key) => valueOf(again, key)))).toEqual(acknowledged.map((key) => `value of ${key}`));
    expect(logs.warnings).toContainEqual(expect.stringContaining('the thread that writes the log ended'));
  });

  it('acknowledges nothing when the thread cannot sync, and recovers', async () => {
    const { log, disk } = await open();
    disk.descriptor = opened('/dev/null');
    const failed = put(log, 'a', 'new');
    await expect(failed).rejects.toMatchObject({ code: 'INTERNAL', definite: false });
    disk.descriptor = undefined;
    expect(await valueOf(log, 'a')).toBe('old');
    await put(log, 'b', '1');
    await log.close();
    const again = await logs.open();
    expect([await valueOf(again, 'a'), await valueOf(again, 'b')]).toEqual(['old', '1']);
    expect(logs.warnings).toEqual([expect.stringContaining('EINVAL'), expect.stringContaining('open for writing again')]);
  });

  it('says STORAGE_FULL when the thread finds no space, and goes on when there is some', async () => {
    const { log, disk } = await open();
    disk.descriptor = opened('/dev/full');
    await expect(put(log, 'a', 'new')).rejects.toMatchObject({ code: 'STORAGE_FULL', definite: true });
    disk.descriptor = undefined;
    expect(await valueOf(log, 'a')).toBe('old');
    await put(log, 'a', 'new');
    await log.close();
    expect(await valueOf(await logs.open(), 'a')).toBe('new');
  });
});
