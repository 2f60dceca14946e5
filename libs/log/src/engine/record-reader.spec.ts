import { closeSync, openSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isDiptychError } from '@diptych/kernel';
import { tempDir, waitFor } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { put, segmentsIn, soon, useLogs, valueOf } from '../../test/log-fixture.js';
import type { FileLog } from '../index.js';
import { ReadThread } from './read-thread.js';

describe('reads that come together', () => {
  const logs = useLogs();
  const keys = Array.from({ length: 32 }, (_, i) => `key ${i}`);

  /** All keys are read at once until the thread does it: until no read comes by the disk that counts. */
  async function readsInThread(log: FileLog, disk: FaultyFileSystem): Promise<void> {
    await waitFor(
      async () => {
        const before = disk.count('read');
        await Promise.all(keys.map((key) => log.read({ key }, soon())));
        return disk.count('read') === before;
      },
      { timeoutMs: 60_000, what: 'the thread reads' },
    );
  }

  async function filled(disk: FaultyFileSystem): Promise<FileLog> {
    const log = await logs.open({ fileSystem: disk });
    await Promise.all(keys.map((key) => put(log, key, `value of ${key}`)));
    await readsInThread(log, disk);
    return log;
  }

  it('get their values from the thread, long ones and absent keys from elsewhere', async () => {
    const disk = new FaultyFileSystem();
    const log = await filled(disk);
    const long = 'x'.repeat(10_000);
    await put(log, 'long', long);
    const before = disk.count('read');
    expect(await Promise.all(['long', 'absent', ...keys].map((key) => valueOf(log, key)))).toEqual([
      long,
      undefined,
      ...keys.map((key) => `value of ${key}`),
    ]);
    expect(disk.count('read') - before).toBe(1);
    // More than there is room for in the thread at once.
    const many = Array.from({ length: 40 }, () => keys).flat();
    expect(await Promise.all(many.map((key) => valueOf(log, key)))).toEqual(many.map((key) => `value of ${key}`));
  });

  it('each get a value that nobody else writes to', async () => {
    const log = await filled(new FaultyFileSystem());
    const first = await Promise.all(keys.map((key) => log.read({ key }, soon())));
    const copies = first.map(({ entry }) => Buffer.from(entry!.value));
    await Promise.all(keys.toReversed().map((key) => log.read({ key }, soon())));
    expect(first.map(({ entry }) => Buffer.from(entry!.value))).toEqual(copies);
    expect(new Set(first.map(({ entry }) => entry!.value.buffer)).size).toBe(keys.length);
  });

  it('say where a bit was flipped, and answer the others', async () => {
    const log = await filled(new FaultyFileSystem());
    const [path] = segmentsIn(await logs.directory());
    const { entry } = await log.read({ key: keys[7]! }, soon());
    const file = await open(path!, 'r+');
    const bytes = await file.readFile();
    const at = bytes.indexOf(Buffer.from(`value of ${keys[7]}`));
    await file.write(Buffer.from([bytes[at]! ^ 1]), 0, 1, at);
    await file.close();
    const results = await Promise.allSettled(keys.map((key) => valueOf(log, key)));
    const failed = results.flatMap((result, i) => (result.status === 'rejected' ? [{ i, reason: result.reason as Error }] : []));
    expect(entry).toBeDefined();
    expect(failed.map(({ i }) => i)).toEqual([7]);
    expect(isDiptychError(failed[0]!.reason) && failed[0]!.reason.message).toMatch(
      new RegExp(`^${basename(path!)} is damaged at offset \\d+`),
    );
  });
});

describe('ReadThread', () => {
  it('says of a read that failed, or that ends early, how far it came, and leaves none without an answer when it ends', async () => {
    await using directory = await tempDir('diptych-read-thread-');
    const path = join(directory.path, 'file');
    writeFileSync(path, 'abcdef');
    const descriptor = openSync(path, 'r');
    const told: string[] = [];
    const thread = new ReadThread<string>((job, bytes, start, filled) =>
      told.push(`${job}: ${filled} ${bytes.toString('latin1', start, start + Math.max(0, filled))}`),
    );
    await waitFor(() => thread.add('whole', descriptor, 3, 1), { timeoutMs: 60_000, what: 'the thread runs' });
    thread.add('early end', descriptor, 9, 4);
    thread.add('bad file', 1_000_000, 3, 0);
    thread.post();
    await waitFor(() => told.length === 3, { timeoutMs: 60_000, what: 'three answers' });
    expect(told).toEqual(['whole: 3 bcd', 'early end: 2 ef', 'bad file: -1 ']);
    thread.add('late', descriptor, 1, 0);
    await thread.close();
    expect(told[3]).toBe('late: -1 ');
    expect(thread.add('too late', descriptor, 1, 0)).toBe(false);
    closeSync(descriptor);
  });
});
