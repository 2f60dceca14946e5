import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '@diptych/kernel';
import { systemClock } from '@diptych/kernel';
import { seedFromEnv, seededRandom } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import type { Crash } from '../../test/crash-state.js';
import { crashAt, randomPolicy } from '../../test/crash-state.js';
import type { DiskOperation } from '../../test/faulty-file-system.js';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, put, putRequest, remove, segmentsIn, soon, useLogs, valueOf } from '../../test/log-fixture.js';
import { MemoryDisk } from '../../test/memory-disk.js';
import { backupLog } from './backup.js';
import type { FileLog } from './file-log.js';
import { openFileLog } from './file-log.js';
import type { FileSystem } from './file-system.js';
import { restoreLog } from './restore.js';

const logs = useLogs();
/** Nothing waits, and compaction begins when it is told to. */
const clock: Clock = {
  ...systemClock,
  after: (_, callback, options) => systemClock.after(0, callback, options),
  every: () => ({ [Symbol.dispose]: () => undefined }),
};
const EAGER = { clock, segmentBytes: 4_096, dedupeCountMax: 50, compactionGarbageBytes: 1, compactionBytesPerSecond: 1e9 };
const quick = () => Object.assign(new FaultyFileSystem(), { syncs: false });

async function beside(name: string): Promise<string> {
  return join(await logs.directory(), '..', name);
}

async function fill(log: FileLog, rounds = 20): Promise<void> {
  for (let round = 0; round < rounds; round++)
    await Promise.all(Array.from({ length: 20 }, (_, i) => put(log, `k${i}`, `${round}/${i}`.padEnd(100, '.'))));
}

async function contents(log: FileLog): Promise<unknown> {
  const keys = await allKeys(log);
  return Promise.all(keys.map(async (key) => (await log.read({ key }, soon())).entry));
}

describe('a backup', () => {
  it('of a log that is appended to and compacted shows one revision, and all that was acknowledged before', async () => {
    const log = await logs.open({ ...EAGER, fileSystem: quick() });
    const values: Array<Map<string, string>> = [new Map()];
    let stop = false;
    const writing = (async () => {
      for (let i = 1; !stop; i++) {
        const state = new Map(values.at(-1));
        const key = `k${(i * 7) % 40}`;
        if (i % 5 === 0) state.delete(key);
        else state.set(key, `value ${i}`);
        values.push(state);
        await (i % 5 === 0 ? remove(log, key) : put(log, key, `value ${i}`));
      }
    })();
    const compacting = (async () => {
      while (!stop) {
        await log.compact();
        await nextTurn();
      }
    })();
    for (let i = 0; i < 8; i++) {
      const acknowledged = log.status.headRevision;
      const [target, restored] = [await beside(`backup${i}`), await beside(`restored${i}`)];
      const { head } = await backupLog(await logs.directory(), target, { fileSystem: quick(), clock });
      expect(head).toBeGreaterThanOrEqual(acknowledged);
      await restoreLog(target, restored, { fileSystem: quick() });
      await using copy = await openFileLog({ directory: restored, fileSystem: quick() });
      const expected = [...values[head]!].sort(([a], [b]) => (a < b ? -1 : 1));
      expect(await Promise.all((await allKeys(copy)).map(async (key) => [key, await valueOf(copy, key)]))).toEqual(expected);
      expect(copy.status.headRevision).toBe(head);
    }
    stop = true;
    await writing;
    await compacting;
    expect(log.status.compaction).toMatchObject({ error: undefined });
    expect(log.status.compaction.compactions).toBeGreaterThan(0);
    expect(logs.warnings).toEqual([]);
  });

  it('taken while the log is compacted between two looks at it brings nothing back that was deleted', async () => {
    // Too much lives in each segment for two to become one, so no name goes away: only what stands behind it changes.
    const log = await logs.open({ ...EAGER, fileSystem: quick(), dedupeCountMax: 1, compactionGarbageRatio: 0.3 });
    await put(log, 'deleted', 'v'.repeat(1_900));
    await put(log, 'a', 'v'.repeat(1_850));
    await remove(log, 'deleted');
    await put(log, 'b', 'v'.repeat(1_300));
    await put(log, 'c', 'v'.repeat(2_300));
    await put(log, 'b', 'v'.repeat(2_200));
    for (let i = 0; i < 3; i++) await put(log, `d${i}`, 'v'.repeat(2_200));
    const names = segmentsIn(await logs.directory());
    const fileSystem = quick();
    let compacting: Promise<void> | undefined;
    fileSystem.fault = (operation) => {
      // The first segment is open by then, as it was before.
      if (operation !== 'open' || fileSystem.count('open') < 2 || compacting) return undefined;
      compacting = log.compact();
      return { wait: compacting };
    };
    const [backup, restored] = [await beside('backup'), await beside('restored')];
    await backupLog(await logs.directory(), backup, { fileSystem, clock });
    expect(log.status.compaction.compactions).toBeGreaterThan(1);
    expect(segmentsIn(await logs.directory())).toEqual(names);
    await restoreLog(backup, restored);
    await using copy = await openFileLog({ directory: restored });
    expect(await allKeys(copy)).toEqual(['a', 'b', 'c', 'd0', 'd1', 'd2']);
  });

  it('holds what was superseded, after the first look, in a segment begun after it, and compacted away before its file was opened', async () => {
    // As above: the names stay.
    const log = await logs.open({ ...EAGER, fileSystem: quick(), dedupeCountMax: 1, compactionGarbageRatio: 0.3 });
    await put(log, 'key', 'v'.repeat(1_900));
    await put(log, 'a', 'v'.repeat(1_850));
    for (const key of ['b', 'c']) await put(log, key, 'v'.repeat(2_200));
    const fileSystem = quick();
    let meanwhile: Promise<void> | undefined;
    fileSystem.fault = (operation) => {
      if (operation !== 'open' || meanwhile) return undefined;
      meanwhile = (async () => {
        await put(log, 'key', 'newer'.padEnd(2_200));
        await put(log, 'd', 'v'.repeat(2_200));
        await log.compact();
      })();
      return { wait: meanwhile };
    };
    const [backup, restored] = [await beside('backup'), await beside('restored')];
    await backupLog(await logs.directory(), backup, { fileSystem, clock });
    expect(log.status).toMatchObject({ segments: 5, compaction: { compactions: 1 } });
    await restoreLog(backup, restored);
    await using copy = await openFileLog({ directory: restored });
    expect(await allKeys(copy)).toEqual(['a', 'b', 'c', 'd', 'key']);
    expect(await valueOf(copy, 'key')).toMatch(/^newer/);
  });

  it('leaves out a write that is not complete', async () => {
    const log = await logs.open();
    await put(log, 'a', '1');
    await Promise.all([put(log, 'b', '1'), put(log, 'c', '1')]);
    const [segment] = segmentsIn(await logs.directory());
    const copied = await beside('copied');
    mkdirSync(copied);
    writeFileSync(join(copied, basename(segment!)), readFileSync(segment!).subarray(0, log.status.diskBytes - 10));
    expect(await backupLog(copied, await beside('backup'), { clock })).toMatchObject({ head: 1, records: 1, unfinished: undefined });
  });

  it('waits for its last write to be there for good: until another stands behind it, for a while, or not at all when the log was closed', async () => {
    const log = await logs.open();
    await put(log, 'a', '1');
    let waits = 0;
    let meanwhile = async () => {};
    const watched: Clock = {
      ...clock,
      after: (delayMs, callback, options) => {
        waits++;
        let ended = false;
        const timer = clock.after(delayMs, () => void meanwhile().then(() => ended || callback()), options);
        return { [Symbol.dispose]: () => ((ended = true), timer[Symbol.dispose]()) };
      },
    };
    const waitsOf = async (name: string) => {
      waits = 0;
      await backupLog(await logs.directory(), await beside(name), { clock: watched });
      return waits;
    };
    expect(await waitsOf('idle')).toBe(10);
    meanwhile = async () => void (await put(log, 'a', '2'));
    expect(await waitsOf('written to')).toBe(1);
    const [path] = segmentsIn(await logs.directory());
    const bytes = readFileSync(path!);
    meanwhile = async () => truncateSync(path!, log.status.diskBytes - 1);
    await expect(waitsOf('taken back')).rejects.toThrow(/took its last write back/);
    expect(readdirSync(await beside('taken back'))).toEqual([]);
    writeFileSync(path!, bytes);
    const target = await beside('taken back before it was copied');
    const fileSystem = new FaultyFileSystem();
    fileSystem.fault = (operation, opened) => {
      if (operation === 'open' && opened === join(target, basename(path!))) truncateSync(path!, log.status.diskBytes - 1);
      return undefined;
    };
    await expect(backupLog(await logs.directory(), target, { clock, fileSystem })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('took its last write back'),
    });
    writeFileSync(path!, bytes);
    await log.close();
    expect(await waitsOf('closed')).toBe(0);
  });

  it('restored is another incarnation with the same entries, revisions and remembered requests', async () => {
    const log = await logs.open(EAGER);
    await fill(log);
    await log.compact();
    const request = putRequest('a', '1', { kind: 'ifAbsent' });
    const first = await log.append(request, soon());
    const before = await contents(log);
    const report = await log.report({ prefix: '' }, soon());
    const [backup, restored] = [await beside('backup'), await beside('restored')];
    await backupLog(await logs.directory(), backup, { clock });
    await put(log, 'later', '1');
    await restoreLog(backup, restored);
    await using copy = await openFileLog({ directory: restored, ...EAGER });
    expect(copy.incarnation).not.toBe(log.incarnation);
    expect(await contents(copy)).toEqual(before);
    expect(await copy.report({ prefix: '' }, soon())).toMatchObject({ contentHash: report.contentHash, entries: report.entries });
    const position = { ...first.position, incarnation: copy.incarnation };
    expect(await copy.append(request, soon())).toEqual({ ...first, position });
    expect(await copy.committed({ after: first.position, limit: 10 }, soon())).toMatchObject({ kind: 'resync', head: position });
    expect((await put(copy, 'b', '1')).position.revision).toBe(first.position.revision + 1);
  });

  it('is no log, and neither is one that was not finished', async () => {
    await fill(await logs.open(EAGER), 2);
    const backup = await beside('backup');
    await backupLog(await logs.directory(), backup, { clock });
    await expect(openFileLog({ directory: backup })).rejects.toThrow(/holds a backup, which is no log: restore it/);
    unlinkSync(join(backup, 'backup.json'));
    writeFileSync(join(backup, 'backup.unfinished'), '');
    await expect(openFileLog({ directory: backup })).rejects.toThrow(/holds a backup that was not finished/);
    await expect(restoreLog(backup, await beside('restored'))).rejects.toThrow(/holds no finished backup/);
    expect(existsSync(await beside('restored'))).toBe(false);
  });

  it('goes into an empty directory outside the log only', async () => {
    await fill(await logs.open(EAGER), 1);
    const directory = await logs.directory();
    await expect(backupLog(directory, join(directory, 'backup'))).rejects.toThrow(/inside the log's own directory/);
    await expect(backupLog(directory, directory)).rejects.toThrow(/inside the log's own directory/);
    const target = await beside('backup');
    mkdirSync(target);
    writeFileSync(join(target, 'precious'), '');
    await expect(backupLog(directory, target)).rejects.toThrow(/is not empty: it holds precious/);
    await expect(restoreLog(target, directory)).rejects.toThrow(/holds no finished backup/);
    expect(readdirSync(target)).toEqual(['precious']);
    await expect(backupLog(await beside('nothing'), await beside('other'))).rejects.toThrow(/cannot be read: it is not there/);
  });

  it('of a damaged log is refused with file and offset, and so is a restore of a damaged backup', async () => {
    const log = await logs.open(EAGER);
    await fill(log);
    await log.close();
    const [backup, restored] = [await beside('backup'), await beside('restored')];
    await backupLog(await logs.directory(), backup, { clock });
    for (const directory of [await logs.directory(), backup]) {
      const [, second] = segmentsIn(directory);
      const bytes = readFileSync(second!);
      bytes[500]! ^= 4;
      writeFileSync(second!, bytes);
    }
    const damaged = /\.segment is damaged at offset \d+/;
    await expect(backupLog(await logs.directory(), await beside('again'), { clock })).rejects.toThrow(damaged);
    await expect(restoreLog(backup, restored)).rejects.toThrow(damaged);
    expect(readdirSync(await beside('again'))).toEqual([]);
    expect(readdirSync(restored).filter((name) => !name.startsWith('lock'))).toEqual([]);
    unlinkSync(segmentsIn(backup).at(-1)!);
    await expect(restoreLog(backup, restored)).rejects.toThrow(/is damaged: \d+\.segment has no whole bytes/);
  });

  it('is not restored over a log', async () => {
    const log = await logs.open(EAGER);
    await fill(log, 1);
    const backup = await beside('backup');
    await backupLog(await logs.directory(), backup, { clock });
    await expect(restoreLog(backup, await logs.directory())).rejects.toThrow(/is not empty: it holds 0000000000000001\.segment/);
    expect(await valueOf(log, 'k0')).toMatch(/^0\/0/);
  });

  it('that is stopped leaves nothing', async () => {
    await fill(await logs.open(EAGER), 5);
    const controller = new AbortController();
    const fileSystem = new FaultyFileSystem();
    const target = await beside('backup');
    fileSystem.fault = (operation, path) => {
      if (operation === 'write' && path.endsWith('.segment')) controller.abort(new Error('stopped'));
      return undefined;
    };
    await expect(backupLog(await logs.directory(), target, { fileSystem, clock, signal: controller.signal })).rejects.toThrow('stopped');
    expect(readdirSync(target)).toEqual([]);
    expect(fileSystem.openFiles).toBe(0);
  });
});

describe.each(['ENOSPC', 'EIO'])('%s at each step', (code) => {
  it.each(['backup', 'restore'] as const)('of a %s: it fails, leaves nothing behind, and works the next time', async (what) => {
    await fill(await logs.open({ ...EAGER, compactionGarbageRatio: 1 }), 5);
    const [source, backup, restored] = [await logs.directory(), await beside('backup'), await beside('restored')];
    if (what === 'restore') await backupLog(source, backup, { clock });
    const work = (fileSystem: FileSystem) =>
      what === 'backup' ? backupLog(source, backup, { fileSystem, clock }) : restoreLog(backup, restored, { fileSystem });
    const target = what === 'backup' ? backup : restored;
    const changing: readonly DiskOperation[] = ['open', 'write', 'sync', 'syncDirectory', 'rename', 'makeDirectory'];
    const segments = segmentsIn(source).length;
    let failures = 0;
    for (let step = 0; ; step++) {
      const fileSystem = quick();
      let left = step;
      fileSystem.fault = (operation, path) =>
        changing.includes(operation) && path.startsWith(target) && left-- === 0 ? { code } : undefined;
      const failure = await work(fileSystem).then(
        () => undefined,
        (error: Error) => error,
      );
      expect(fileSystem.openFiles).toBe(0);
      if (left >= 0) break;
      expect(failure).toMatchObject({ code: 'UNAVAILABLE' });
      const there = existsSync(target) ? readdirSync(target).filter((name) => !name.startsWith('lock')) : [];
      if (there.length > 0) {
        // The last sync: all is there already, though perhaps not for good.
        expect(there.filter((name) => name.endsWith('.unfinished'))).toEqual([]);
        expect(there.filter((name) => name.endsWith('.segment'))).toHaveLength(segments);
        rmSync(target, { recursive: true });
      }
      failures++;
    }
    expect(failures).toBeGreaterThan(10);
    await using copy = await openFileLog({ directory: what === 'backup' ? (await restoreLog(backup, restored), restored) : restored });
    expect(copy.status.keys).toBe(20);
  });
});

it('a crash at any step of a backup or a restore leaves the source as it was, and in the target all or what is refused', async () => {
  const random = seededRandom(seedFromEnv());
  const disk = new MemoryDisk();
  const log = await openFileLog({ directory: '/log', fileSystem: disk, ...EAGER });
  await fill(log, 4);
  await log.compact();
  await log.close();
  const before = disk.records.length;
  await backupLog('/log', '/backup', { fileSystem: disk, clock });
  const between = disk.records.length;
  await restoreLog('/backup', '/restored', { fileSystem: disk });
  const crashes: Crash[] = ['killed', 'all lost', randomPolicy(random), randomPolicy(random), randomPolicy(random)];
  const outcomes = { complete: 0, refused: 0, empty: 0 };
  for (let count = before; count <= disk.records.length; count++)
    for (const crash of crashes) {
      const image = crashAt(disk, count, crash, random);
      const source = await openFileLog({ directory: '/log', fileSystem: image });
      expect(source.status).toMatchObject({ keys: 20, headRevision: 80 });
      await source.close();
      if (count <= between) {
        // A backup that says it is one is whole.
        if (image.paths.includes('/backup/backup.json') && !image.paths.includes('/backup/backup.unfinished'))
          expect((await restoreLog('/backup', '/fresh', { fileSystem: image })).head).toBe(80);
        continue;
      }
      const segments = image.paths.filter((path) => path.startsWith('/restored/') && path.endsWith('.segment'));
      const opened = await openFileLog({ directory: '/restored', fileSystem: image }).catch((error: Error) => error);
      if (opened instanceof Error) {
        expect(opened.message).toMatch(/holds a restore that was not finished/);
        outcomes.refused++;
        continue;
      }
      if (segments.length > 0) {
        expect(opened.status).toMatchObject({ keys: 20, headRevision: 80 });
        outcomes.complete++;
      } else outcomes.empty++;
      await opened.close();
    }
  expect(outcomes.complete).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(20);
});

it('a restore refuses a target that another process uses', async () => {
  const log = await logs.open(EAGER);
  await fill(log, 1);
  const [backup, target] = [await beside('backup'), await beside('target')];
  await backupLog(await logs.directory(), backup, { clock });
  cpSync(await logs.directory(), target, { recursive: true });
  for (const path of segmentsIn(target)) rmSync(path);
  const fileSystem = quick();
  using _lock = fileSystem.lock(target);
  await expect(restoreLog(backup, target, { fileSystem })).rejects.toThrow(/is in use by another process/);
});
