import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDiptychError } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { seededRandom, seedFromEnv, tempDir } from '@diptych/testing';
import { expect, it } from 'vitest';
import { crashAt } from '../../test/crash-state.js';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, put, soon, valueOf } from '../../test/log-fixture.js';
import { MemoryDisk } from '../../test/memory-disk.js';
import type { FileLog } from './file-log.js';
import { openFileLog } from './file-log.js';
import { SKIPPED_REVISIONS } from './segment-header.js';

/*
 * Claim: a full disk loses nothing. Appends are refused for certain (STORAGE_FULL) once what they left is cut off and synced, reads go on, and
 * when there is space again, so do appends. What was refused is not there after a restart or a crash.
 */

/** Appends until one is refused; gives back what was acknowledged and what was not. */
async function fill(log: FileLog, prefix: string, valueBytes: number): Promise<{ kept: string[]; refused: string[] }> {
  const kept: string[] = [];
  const refused: string[] = [];
  for (let i = 0; refused.length === 0; i++) {
    const keys = [0, 1, 2].map((part) => `${prefix} ${i} ${part}`);
    const results = await Promise.allSettled(keys.map((key) => put(log, key, key.padEnd(valueBytes, '.'))));
    for (const [index, result] of results.entries()) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'STORAGE_FULL', definite: true });
      (result.status === 'rejected' ? refused : kept).push(keys[index]!);
    }
  }
  return { kept, refused };
}

async function expectExactly(log: FileLog, keys: readonly string[]): Promise<void> {
  expect(await allKeys(log)).toEqual([...keys].sort());
  for (const key of keys) expect((await valueOf(log, key))!.trimEnd().startsWith(key)).toBe(true);
}

it.each([3_000, 7_777, 20_000])('a disk of %d bytes, full again and again, and a crash at each step', async (capacityBytes) => {
  const random = seededRandom(seedFromEnv());
  const disk = Object.assign(new MemoryDisk(), { capacityBytes });
  const options = { directory: '/log', fileSystem: disk, segmentBytes: 2_000, compactionGarbageRatio: 1 };
  const log = await openFileLog(options);
  const kept: string[] = [];
  for (let round = 0; round < 3; round++) {
    const filled = await fill(log, `round ${round}`, 150 + Math.floor(random() * 300));
    kept.push(...filled.kept);
    await expectExactly(log, kept);
    const refusedAt = disk.records.length;
    for (const crash of ['killed', 'all lost'] as const) {
      const crashed = Object.assign(crashAt(disk, refusedAt, crash, random), { capacityBytes: Infinity });
      const again = await openFileLog({ ...options, fileSystem: crashed });
      await expectExactly(again, kept);
      await again.close();
    }
    disk.capacityBytes += 2_000;
  }
  await log.close();
  const again = await openFileLog(options);
  await expectExactly(again, kept);
  await again.close();
});

/** A log of one entry, whose second append was cut short by a crash. */
async function tornLog(): Promise<ReturnType<MemoryDisk['content']>> {
  const random = seededRandom(seedFromEnv());
  const disk = new MemoryDisk();
  const log = await openFileLog({ directory: '/log', fileSystem: disk, roomBytes: 0 });
  await put(log, 'kept', 'kept');
  const before = disk.records.length;
  await put(log, 'torn', 'x'.repeat(2_000));
  const torn = disk.records.findIndex((record, index) => index >= before && record.kind === 'write');
  const policy = { names: 'all', writes: 'all', sectorBytes: 512, fill: 'zeros' } as const;
  const content = crashAt(disk, torn + 1, policy, random).content();
  for (const [inode, bytes] of content.files) content.files.set(inode, bytes.subarray(0, bytes.length - 700));
  await log.close();
  return content;
}

it('a torn tail that was cut, and no space for the segment that leaves out revisions: reads go on, and they are left out once there is', async () => {
  const fileSystem = new FaultyFileSystem(new MemoryDisk(await tornLog()));
  const options = { directory: '/log', fileSystem };
  fileSystem.fault = (operation, path) => (operation === 'write' && path.endsWith('.new') ? { code: 'ENOSPC', bytes: 10 } : undefined);
  // The second open finds the tail cut already.
  for (let open = 0; open < 2; open++) {
    const log = await openFileLog(options);
    await expectExactly(log, ['kept']);
    await expect(put(log, 'refused', '1')).rejects.toMatchObject({ code: 'STORAGE_FULL', definite: true });
    await log.close();
  }
  fileSystem.fault = () => undefined;
  const log = await openFileLog(options);
  expect((await put(log, 'after', 'after')).position.revision).toBeGreaterThan(SKIPPED_REVISIONS);
  await log.close();
  const again = await openFileLog(options);
  await expectExactly(again, ['after', 'kept']);
  await again.close();
});

it('a torn tail on a full disk keeps nobody from reading; it is saved aside and cut once there is space, before the next write', async () => {
  const content = await tornLog();
  const options = { directory: '/log' };
  for (const room of [0, 500]) {
    const full = new MemoryDisk(content);
    full.capacityBytes = full.usedBytes + room;
    const warnings: string[] = [];
    const opened = await openFileLog({ ...options, fileSystem: full, onWarning: (message) => warnings.push(message) });
    const [path] = full.paths;
    const tail = full.bytesOf(path!);
    expect(warnings).toEqual([expect.stringMatching(/ends in an unfinished write: \d+ bytes from offset \d+\. No space is left/)]);
    expect(await allKeys(opened)).toEqual(['kept']);
    await expect(put(opened, 'refused', '1')).rejects.toMatchObject({ code: 'STORAGE_FULL', definite: true });
    expect(full.paths).toEqual([path]);
    expect(full.bytesOf(path!)).toEqual(tail);
    expect(await valueOf(opened, 'kept')).toBe('kept');
    full.capacityBytes = Infinity;
    await put(opened, 'after', '1');
    const [, offset, saved] = /from offset (\d+) were cut off and saved as (\S+)/.exec(warnings[1]!)!;
    expect(full.bytesOf(saved!)).toEqual(tail.subarray(Number(offset)));
    await opened.close();
    const again = await openFileLog({ ...options, fileSystem: full });
    expect(await allKeys(again)).toEqual(['after', 'kept']);
    await again.close();
  }
});

it('a slow sync holds up what waits for it, and nothing else', async () => {
  const clock = new FakeClock();
  const fileSystem = new FaultyFileSystem(new MemoryDisk());
  const log = await openFileLog({ directory: '/log', fileSystem, clock });
  const context = () => ({ deadlineMs: clock.nowMs() + 60_000 });
  await put(log, 'a', '1');
  let release: () => void = () => undefined;
  const wait = new Promise<void>((resolve) => (release = resolve));
  fileSystem.fault = (operation) => (operation === 'sync' ? { wait } : undefined);
  let answered = false;
  const slow = put(log, 'a', '2').then(() => (answered = true));
  for (let i = 0; i < 20; i++) expect((await log.read({ key: 'a' }, context())).entry!.revision).toBe(1);
  expect(answered).toBe(false);
  release();
  await slow;
  expect(await valueOf(log, 'a')).toBe('2');
  await log.close();
});

/** Root may mount one; elsewhere the disk in memory above has to do. */
function mountTiny(path: string): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

it('the same on a real file system of 256 KiB', async ({ skip }) => {
  await using directory = await tempDir('diptych-tiny-');
  if (!mountTiny(directory.path)) skip('mounting a tmpfs takes root');
  const path = join(directory.path, 'data');
  const ballast = join(directory.path, 'ballast');
  try {
    writeFileSync(ballast, Buffer.alloc(64 * 1024));
    const log = await openFileLog({ directory: path, segmentBytes: 65_536, compactionGarbageRatio: 1 });
    const first = await fill(log, 'first', 3_000);
    await expectExactly(log, first.kept);
    const refusal = await put(log, 'big', new Uint8Array(100_000)).catch((error: unknown) => error);
    expect(isDiptychError(refusal) && [refusal.code, refusal.definite]).toEqual(['STORAGE_FULL', true]);
    rmSync(ballast);
    const second = await fill(log, 'second', 3_000);
    expect(second.kept.length).toBeGreaterThan(3);
    await log.close();
    // On a disk that is still full.
    const again = await openFileLog({ directory: path, segmentBytes: 65_536, compactionGarbageRatio: 1 });
    await expectExactly(again, [...first.kept, ...second.kept]);
    await expect(put(again, 'more', 'x'.repeat(30_000))).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    expect((await again.read({ key: first.kept[0]! }, soon())).entry).toBeDefined();
    await again.close();
  } finally {
    execFileSync('umount', [directory.path]);
  }
});
