import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '@diptych/kernel';
import { systemClock } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { waitFor } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, nextRequestId, put, putRequest, remove, segmentsIn, soon, useLogs, valueOf } from '../../test/log-fixture.js';
import type { FileLog } from './file-log.js';
import type { FileLogOptions } from './file-log-options.js';
import type { ReportMode } from './report.js';

const logs = useLogs();
const quick = () => Object.assign(new FaultyFileSystem(), { syncs: false });
/** Compaction begins when it is told to. */
const onDemand: Clock = { ...systemClock, every: () => ({ [Symbol.dispose]: () => undefined }) };
/** Nothing is remembered for long, and every byte of garbage counts. */
const EAGER = {
  clock: onDemand,
  segmentBytes: 4_096,
  dedupeCountMax: 4,
  compactionGarbageBytes: 1,
  compactionBytesPerSecond: 1e9,
} satisfies Partial<FileLogOptions>;

function diskBytes(directory: string): number {
  return segmentsIn(directory).reduce((sum, path) => sum + statSync(path).size, 0);
}

async function overwrite(log: FileLog, keys: number, rounds: number, valueBytes = 100): Promise<void> {
  for (let round = 0; round < rounds; round++)
    await Promise.all(Array.from({ length: keys }, (_, i) => put(log, `k${i}`, `${round}/${i}`.padEnd(valueBytes, '.'))));
}

async function contents(log: FileLog): Promise<unknown> {
  const keys = await allKeys(log);
  return Promise.all(keys.map(async (key) => (await log.read({ key }, soon())).entry));
}

describe('compaction', () => {
  /*
   * Claim: however long the same keys are overwritten, a log takes no more than FACTOR times its live bytes and a few segments. Live bytes are what a log
   * with nothing but those entries takes; on top come the newest segment, which is not compacted, the one that compaction writes, and one that is not
   * garbage enough.
   */
  it('bounds the disk under endless overwrites', async () => {
    const FACTOR = 2;
    const options = { ...EAGER, segmentBytes: 16_384, compactionGarbageRatio: 0.5 };
    const log = await logs.open({ ...options, fileSystem: quick() });
    await overwrite(log, 200, 1);
    const live = log.status.diskBytes;
    const bound = live * FACTOR + 3 * options.segmentBytes;
    let most = 0;
    for (let round = 0; round < 60; round++) {
      await overwrite(log, 200, 1);
      // As the background does when a segment is full.
      await log.compact();
      most = Math.max(most, diskBytes(await logs.directory()));
    }
    expect(log.status.compaction.reclaimedBytes).toBeGreaterThan(live * 20);
    expect(most).toBeLessThanOrEqual(bound);
    // Without compaction it would hold all of it.
    expect(bound).toBeLessThan(live * 20);
    await log.close();
    expect((await logs.open(options)).status.keys).toBe(200);
  });

  it('frees what was superseded, and answers as before, also after a restart', async () => {
    const log = await logs.open(EAGER);
    await overwrite(log, 20, 30);
    const before = await contents(log);
    const report = await log.report({ prefix: '' }, soon());
    const bytes = diskBytes(await logs.directory());
    await log.compact();
    expect(log.status.compaction).toMatchObject({ error: undefined, failures: 0 });
    expect(log.status.compaction.compactions).toBeGreaterThan(0);
    const after = diskBytes(await logs.directory());
    expect(after).toBeLessThan(bytes / 5);
    expect(log.status.diskBytes).toBe(after);
    expect(log.status.compaction.reclaimedBytes).toBe(bytes - after);
    expect(await contents(log)).toEqual(before);
    expect(await log.report({ prefix: '' }, soon())).toEqual(report);
    await log.close();
    const again = await logs.open(EAGER);
    expect(await contents(again)).toEqual(before);
    expect(await again.report({ prefix: '' }, soon())).toEqual(report);
    expect((await put(again, 'new', '1')).position.revision).toBe(20 * 30 + 1);
    expect(logs.warnings).toEqual([]);
  });

  it('does so by itself', async () => {
    const clock = new FakeClock();
    const log = await logs.open({ ...EAGER, clock, fileSystem: quick() });
    const context = () => ({ deadlineMs: clock.nowMs() + 60_000 });
    for (let i = 0; i < 200; i++) await log.append(putRequest('k', 'v'.repeat(100)), context());
    const { segments } = log.status;
    clock.advance(1_000);
    for (let turn = 0; log.status.segments === segments && turn < 100_000; turn++) await nextTurn();
    expect(log.status.segments).toBeLessThan(segments);
  });

  it('leaves a log alone that has little garbage, or has it switched off', async () => {
    const log = await logs.open({ ...EAGER, compactionGarbageRatio: 0.9 });
    await overwrite(log, 100, 2);
    const bytes = diskBytes(await logs.directory());
    await log.compact();
    expect(diskBytes(await logs.directory())).toBeGreaterThan(bytes / 2);
  });

  it('is done once at a time, however many ask for it at once', async () => {
    const log = await logs.open(EAGER);
    await overwrite(log, 20, 30);
    const before = await contents(log);
    await Promise.all([log.compact(), log.compact(), log.compact()]);
    expect(log.status.compaction).toMatchObject({ error: undefined, failures: 0 });
    expect(logs.warnings).toEqual([]);
    expect(await contents(log)).toEqual(before);
  });

  it('keeps a tombstone while an older put may exist, and drops it afterwards', async () => {
    const log = await logs.open({ ...EAGER, fileSystem: quick() });
    // Segment by segment: what lives for ever with one put that dies, then churn of short-lived keys.
    await put(log, 'dies', 'v'.repeat(400));
    for (let i = 0; i < 8; i++) await put(log, `lives${i}`, 'v'.repeat(400));
    await remove(log, 'dies');
    for (let i = 0; i < 200; i++) {
      await put(log, `short${i}`, 'v'.repeat(100));
      await remove(log, `short${i}`);
    }
    await overwrite(log, 4, 20);
    await log.compact();
    await log.close();
    const again = await logs.open(EAGER);
    expect(await valueOf(again, 'dies')).toBeUndefined();
    expect((await allKeys(again)).length).toBe(12);
    await again.compact();
    // 12 entries; tombstones of 200 keys would take 30 KB more.
    expect(diskBytes(await logs.directory())).toBeLessThan(16_000);
  });

  it('a delete is not undone when the segment of its tombstone is compacted and that of the put is not', async () => {
    const log = await logs.open({ ...EAGER, compactionGarbageRatio: 0.6, fileSystem: quick() });
    await put(log, 'deleted', 'v'.repeat(1_000));
    for (let i = 0; i < 5; i++) await put(log, `lives${i}`, 'v'.repeat(700));
    await remove(log, 'deleted');
    await overwrite(log, 2, 60);
    const { segments } = log.status;
    await log.compact();
    expect(log.status.segments).toBeLessThan(segments);
    await log.close();
    expect(await valueOf(await logs.open(EAGER), 'deleted')).toBeUndefined();
  });

  it('nor when the put lies in a segment that was compacted before it was deleted', async () => {
    const options = { ...EAGER, fileSystem: quick() };
    const log = await logs.open(options);
    await put(log, 'deleted', 'v'.repeat(300));
    for (let i = 0; i < 6; i++) await put(log, `lives${i}`, 'v'.repeat(300));
    await overwrite(log, 2, 60);
    await log.compact();
    await remove(log, 'deleted');
    for (let i = 0; i < 100; i++) await put(log, 'churn', 'v'.repeat(300));
    await log.compact();
    await log.close();
    const again = await logs.open(options);
    expect(await valueOf(again, 'deleted')).toBeUndefined();
    expect(again.status.keys).toBe(9);
  });

  it('a repeat gets the first answer after compaction and a restart, though its record was superseded', async () => {
    const options = { ...EAGER, dedupeCountMax: 1_000 };
    const log = await logs.open(options);
    const request = putRequest('k0', 'v'.repeat(3_000), { kind: 'ifAbsent' });
    const first = await log.append(request, soon());
    const deletion = nextRequestId();
    const deleted = await remove(log, 'k0', undefined, deletion);
    await overwrite(log, 20, 20, 1_000);
    const bytes = diskBytes(await logs.directory());
    await log.compact();
    expect(diskBytes(await logs.directory())).toBeLessThan(bytes / 2);
    for (const open of [async () => log, async () => (await log.close(), logs.open(options))]) {
      const opened = await open();
      expect(await opened.append(request, soon())).toEqual(first);
      expect(await remove(opened, 'k0', undefined, deletion)).toEqual(deleted);
      await expect(put(opened, 'k0', 'other', undefined, request.requestId)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
      expect(opened.status.headRevision).toBe(402);
    }
  });

  it('the traces of the dedupe window go too once the window is over', async () => {
    const clock = new FakeClock();
    const options = { ...EAGER, clock, dedupeCountMax: 100_000, dedupeMs: 1_000 };
    const log = await logs.open(options);
    for (let i = 0; i < 100; i++) await log.append(putRequest('k', 'v'.repeat(500)), { deadlineMs: clock.nowMs() + 60_000 });
    await log.compact();
    const withTraces = log.status.diskBytes;
    expect(withTraces).toBeGreaterThan(100 * 76);
    clock.advance(1_001);
    const compacting = log.compact();
    await compacting;
    expect(log.status.diskBytes).toBeLessThan(withTraces / 2);
  });

  it('committed answers pages while the log knows them, and RESYNC below what compaction removed after a restart', async () => {
    const log = await logs.open(EAGER);
    await overwrite(log, 10, 20);
    await log.compact();
    const at = (revision: number) => ({ after: { incarnation: log.incarnation, partition: 0, revision }, limit: 1_000 });
    const page = await log.committed(at(0), soon());
    expect(page.kind === 'page' && page.commits.map(({ revision, previous }) => [revision, previous])).toEqual(
      Array.from({ length: 200 }, (_, i) => [i + 1, i]),
    );
    await log.close();
    const again = await logs.open(EAGER);
    expect(await again.committed(at(0), soon())).toMatchObject({ kind: 'resync', head: { revision: 200 } });
    await put(again, 'next', '1');
    expect(await again.committed(at(200), soon())).toMatchObject({
      kind: 'page',
      commits: [{ key: 'next', revision: 201, previous: 200 }],
    });
  });

  it('the head survives though its record was compacted away', async () => {
    const log = await logs.open(EAGER);
    for (let i = 0; i < 100; i++) await put(log, 'k', 'v'.repeat(500));
    for (let i = 0; i < 50; i++) await remove(log, 'k');
    await log.compact();
    await log.close();
    const again = await logs.open(EAGER);
    expect(again.status).toMatchObject({ headRevision: 150, keys: 0 });
    expect((await put(again, 'k', 'v')).position.revision).toBe(151);
  });

  it.each<ReportMode>(['yielding', 'worker'])(
    'a report and reads under way go on in the segments that are replaced: %s',
    async (reportMode) => {
      const log = await logs.open({ ...EAGER, reportMode });
      await overwrite(log, 300, 4);
      const expected = await log.report({ prefix: '' }, soon());
      const before = await contents(log);
      const report = log.report({ prefix: '' }, soon());
      const reads = contents(log);
      const compacting = log.compact();
      expect(await report).toEqual(expected);
      expect(await reads).toEqual(before);
      await compacting;
      expect(log.status.compaction.compactions).toBeGreaterThan(0);
      expect(await contents(log)).toEqual(before);
    },
  );

  it('appends and deletes that come meanwhile win over what is copied', async () => {
    const log = await logs.open(EAGER);
    await overwrite(log, 200, 3);
    const compacting = log.compact();
    const writes: Array<Promise<unknown>> = [];
    for (let i = 0; i < 200; i += 2) {
      writes.push(i % 4 ? put(log, `k${i}`, 'newer') : remove(log, `k${i}`));
      if (i % 20 === 0) await nextTurn();
    }
    await Promise.all(writes);
    await compacting;
    const expected = Array.from({ length: 200 }, (_, i) => (i % 2 ? `2/${i}`.padEnd(100, '.') : i % 4 ? 'newer' : undefined));
    const values = (opened: FileLog) => Promise.all(expected.map((_, i) => valueOf(opened, `k${i}`)));
    expect(await values(log)).toEqual(expected);
    await log.compact();
    expect(await values(log)).toEqual(expected);
    await log.close();
    expect(await values(await logs.open(EAGER))).toEqual(expected);
  });

  it('what is written between the copy and its taking over wins', async () => {
    const fileSystem = quick();
    const log = await logs.open({ ...EAGER, fileSystem });
    // What lives is spread over all segments.
    for (let i = 0; i < 40; i++) {
      await put(log, `k${i}`, '5/2'.padEnd(100, '.'));
      for (let churn = 0; churn < 3; churn++) await put(log, 'churn', 'v'.repeat(100));
    }
    const gate = Promise.withResolvers<void>();
    let waits = false;
    fileSystem.fault = (operation, path) => {
      if (operation !== 'rename' || !path.endsWith('0001.segment')) return undefined;
      waits = true;
      return { wait: gate.promise };
    };
    const compacting = log.compact();
    await waitFor(() => waits, { what: 'the copy to be complete' });
    await remove(log, 'k0');
    await put(log, 'k1', 'newer');
    // Takes the place in the index that the deleted key had.
    await put(log, 'another', 'one');
    gate.resolve();
    await compacting;
    expect(await Promise.all(['k0', 'k1', 'another', 'k2'].map((key) => valueOf(log, key)))).toEqual([
      undefined,
      'newer',
      'one',
      '5/2'.padEnd(100, '.'),
    ]);
  });

  /** A log whose oldest segment has been replaced while it was read from; the read goes on until `release`. */
  async function replacedUnderRead() {
    const fileSystem = quick();
    const log = await logs.open({ ...EAGER, fileSystem });
    await put(log, 'first', 'value');
    await overwrite(log, 20, 10);
    const gate = Promise.withResolvers<void>();
    let reads = false;
    fileSystem.fault = (operation) => {
      reads ||= operation === 'read';
      return reads ? { wait: gate.promise } : undefined;
    };
    const read = valueOf(log, 'first');
    await waitFor(() => reads, { what: 'the read to be at the disk' });
    fileSystem.fault = () => undefined;
    const compacting = log.compact();
    await waitFor(() => log.status.segments < 5, { what: 'the segments to be replaced' });
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    const release = async () => {
      gate.resolve();
      expect(await read).toBe('value');
      await compacting;
    };
    return { fileSystem, log, release };
  }

  it('a file that was replaced stays open until the last read of it is done', async () => {
    const { release } = await replacedUnderRead();
    await release();
  });

  it('keeps no append that needs space waiting for who still reads what was replaced', async () => {
    const { fileSystem, log, release } = await replacedUnderRead();
    fileSystem.fault = (operation) => (operation === 'write' ? { code: 'ENOSPC', bytes: 10 } : undefined);
    await expect(put(log, 'refused', 'value')).rejects.toMatchObject({ code: 'STORAGE_FULL', definite: true });
    fileSystem.fault = () => undefined;
    await release();
    expect(await valueOf(log, 'refused')).toBeUndefined();
  });

  it('removes nothing before it is durable what stands in its place', async () => {
    const fileSystem = quick();
    const log = await logs.open({ ...EAGER, fileSystem });
    await overwrite(log, 20, 10);
    fileSystem.journal.length = 0;
    await log.compact();
    const steps = fileSystem.journal.filter((step) => !/^(read|write|open)/.test(step));
    const renamed = steps.indexOf('rename 0000000000000001.segment');
    expect(steps.slice(renamed - 1, renamed + 3)).toEqual([
      'sync 0000000000000001.segment.new',
      'rename 0000000000000001.segment',
      'syncDirectory data',
      expect.stringMatching(/^remove \d{16}\.segment$/),
    ]);
  });

  it('a log that is closed meanwhile leaves no leftovers, and no files open', async () => {
    const fileSystem = new FaultyFileSystem();
    const log = await logs.open({ ...EAGER, fileSystem, compactionBytesPerSecond: 1_000 });
    await overwrite(log, 20, 30);
    const compacting = log.compact();
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    await log.close();
    await compacting;
    expect(fileSystem.openFiles).toBe(0);
    expect(readdirSync(await logs.directory()).filter((name) => name.endsWith('.new'))).toEqual([]);
    expect((await allKeys(await logs.open(EAGER))).length).toBe(20);
    expect(logs.warnings).toEqual([]);
  });
});

describe('compaction that fails', () => {
  it('without space: appends go on, nothing is left behind, and it says so once', async () => {
    const fileSystem = new FaultyFileSystem();
    const log = await logs.open({ ...EAGER, fileSystem });
    await overwrite(log, 20, 30);
    const before = await contents(log);
    fileSystem.fault = (operation, path) =>
      operation === 'write' && path.endsWith('0001.segment.new') ? { code: 'ENOSPC', bytes: 10 } : undefined;
    await log.compact();
    await log.compact();
    expect(log.status.compaction).toMatchObject({ failures: 2, error: 'no space is left on the disk' });
    expect(logs.warnings).toHaveLength(1);
    expect(readdirSync(await logs.directory()).filter((name) => name.endsWith('.new'))).toEqual([]);
    await put(log, 'k0', 'after');
    fileSystem.fault = () => undefined;
    await log.compact();
    expect(log.status.compaction).toMatchObject({ failures: 0, error: undefined });
    expect(await valueOf(log, 'k0')).toBe('after');
    expect((await contents(log)) as unknown[]).toHaveLength((before as unknown[]).length);
  });

  it('gives its space back when an append needs it, and the append goes through', async () => {
    const fileSystem = new FaultyFileSystem();
    const log = await logs.open({ ...EAGER, fileSystem, compactionBytesPerSecond: 1_000 });
    await overwrite(log, 20, 30);
    let full = true;
    fileSystem.journal.length = 0;
    fileSystem.fault = (operation, path) => {
      if (operation === 'remove' && path.endsWith('0001.segment.new'))
        full = !fileSystem.journal.includes('write 0000000000000001.segment.new');
      return operation === 'write' && !path.endsWith('0001.segment.new') && full ? { code: 'ENOSPC', bytes: 10 } : undefined;
    };
    const compacting = log.compact();
    await waitFor(() => fileSystem.journal.includes('write 0000000000000001.segment.new'), { what: 'compaction to take space' });
    await put(log, 'k0', 'after');
    await compacting;
    expect(await valueOf(log, 'k0')).toBe('after');
    expect(log.status.compaction.error).toMatch(/needed for appends/);
  });

  it('on damage: says where, and leaves the segments as they are', async () => {
    const log = await logs.open(EAGER);
    await overwrite(log, 20, 30);
    const [first] = segmentsIn(await logs.directory());
    const bytes = readFileSync(first!);
    bytes[1_000]! ^= 1;
    writeFileSync(first!, bytes);
    await log.compact();
    expect(log.status.compaction.error).toMatch(/0000000000000001\.segment is damaged at offset \d+: compaction met/);
    expect(Buffer.compare(readFileSync(first!), bytes)).toBe(0);
    await put(log, 'k0', 'after');
    expect(readdirSync(await logs.directory()).filter((name) => name.endsWith('.new'))).toEqual([]);
  });
});
