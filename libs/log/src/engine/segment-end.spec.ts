import { appendFileSync, cpSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, put, putRequest, segmentsIn, useLogs, valueOf } from '../../test/log-fixture.js';
import { byteBlock } from './byte-block.js';
import { NotBegun } from './commit-thread.js';
import { openFileLog } from './file-log.js';
import { ROOM_BYTE } from './record-layout.js';
import { encodeRecord } from './record.js';
import { ROOM_AGAIN_AFTER_BATCHES, SegmentEnd } from './segment-end.js';
import { verifyLog } from './verify.js';

/*
 * Claim: what is written ahead of batches is never taken for anything else, and nothing else is taken for them.
 */

const logs = useLogs();
const ROOM = 20_000;

const sizesOf = (directory: string) => segmentsIn(directory).map((path) => statSync(path).size);

/** The directory as a crash leaves it, with what was synced. */
async function crashed(): Promise<string> {
  const directory = await logs.directory();
  const image = `${directory}-image`;
  cpSync(directory, image, { recursive: true });
  return image;
}

it('is there for small batches while the log is open, is filled by them, and is given back when it closes', async () => {
  const directory = await logs.directory();
  const log = await logs.open({ roomBytes: ROOM });
  expect(sizesOf(directory)).toEqual([log.status.diskBytes]);
  await put(log, 'a', 'x');
  const [size] = sizesOf(directory);
  expect(size).toBe(log.status.diskBytes + ROOM);
  for (let i = 0; log.status.diskBytes < size! - 1_000; i++) {
    await put(log, `k${i}`, 'x'.repeat(500));
    expect(sizesOf(directory)).toEqual([size]);
  }
  // A large batch takes its place, and has none behind it.
  await put(log, 'large', 'x'.repeat(ROOM));
  expect(sizesOf(directory)).toEqual([log.status.diskBytes]);
  await put(log, 'small', 'x');
  await log.close();
  expect(sizesOf(directory)).toEqual([log.status.diskBytes]);
  expect(await valueOf(await logs.open(), 'small')).toBe('x');
});

it('is left behind by a crash without anything to report, and used by the next process', async () => {
  const log = await logs.open({ roomBytes: ROOM });
  await put(log, 'a', '1');
  const directory = await crashed();
  expect(await verifyLog(directory)).toMatchObject({ head: 1, unfinished: undefined });
  const warnings: string[] = [];
  const options = { directory, roomBytes: ROOM, onWarning: (message: string) => warnings.push(message) };
  const again = await openFileLog(options);
  expect((await put(again, 'b', '1')).position.revision).toBe(2);
  await again.close();
  expect(sizesOf(directory)).toEqual([again.status.diskBytes]);
  const third = await openFileLog(options);
  expect(await allKeys(third)).toEqual(['a', 'b']);
  await third.close();
  expect(warnings).toEqual([]);
});

it('with one bit that is another is a torn tail', async () => {
  const log = await logs.open({ roomBytes: ROOM });
  await put(log, 'a', '1');
  const directory = await crashed();
  const [path] = segmentsIn(directory);
  const bytes = readFileSync(path!);
  bytes[bytes.length - 1]! ^= 4;
  writeFileSync(path!, bytes);
  expect(await verifyLog(directory)).toMatchObject({ head: 1, unfinished: { bytes: ROOM } });
  const warnings: string[] = [];
  const again = await openFileLog({ directory, onWarning: (message) => warnings.push(message) });
  expect(warnings).toEqual([expect.stringContaining(`${ROOM} bytes from offset ${bytes.length - ROOM} were cut off`)]);
  expect(await allKeys(again)).toEqual(['a']);
  await again.close();
});

it.each(['closed', 'crashed'])(
  'is not zeros: what a disk lost of a log that was %s is a torn tail, and its revisions are left out',
  async (how) => {
    const log = await logs.open({ roomBytes: ROOM });
    await put(log, 'a', '1');
    const lostFrom = log.status.diskBytes;
    for (const key of ['b', 'c', 'd']) await put(log, key, '1');
    if (how === 'closed') await log.close();
    const directory = await crashed();
    const [path] = segmentsIn(directory);
    const bytes = readFileSync(path!);
    writeFileSync(path!, bytes.fill(0, lostFrom));
    expect(await verifyLog(directory)).toMatchObject({ head: 1, unfinished: { bytes: bytes.length - lostFrom } });
    const warnings: string[] = [];
    const again = await openFileLog({ directory, onWarning: (message) => warnings.push(message) });
    expect(warnings).toEqual([expect.stringContaining(`${bytes.length - lostFrom} bytes from offset ${lostFrom} were cut off`)]);
    expect((await put(again, 'e', '1')).position.revision).toBeGreaterThan(4);
    await again.close();
  },
);

it('stays behind no segment but the newest; room there is damage', async () => {
  const directory = await logs.directory();
  // An odd number of which half is room.
  const log = await logs.open({ segmentBytes: 65_537 });
  for (let i = 0; i < 100; i++) await put(log, `k${i}`, 'x'.repeat(1_000));
  expect(log.status.segments).toBe(2);
  const [first, second] = sizesOf(directory);
  expect(first! + second! - log.status.diskBytes).toBeLessThanOrEqual(32_768);
  await log.close();
  appendFileSync(segmentsIn(directory)[0]!, Buffer.alloc(100, ROOM_BYTE));
  await expect(logs.open()).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining(`damaged at offset ${first}`) });
});

it('is not made where there is no space, and nobody is refused for it', async () => {
  const directory = await logs.directory();
  const fileSystem = new FaultyFileSystem();
  const log = await logs.open({ fileSystem, roomBytes: ROOM });
  let refused = 0;
  // The first write of a segment's file that is not a record.
  fileSystem.fault = (operation) => (operation === 'write' && refused++ === 1 ? { code: 'ENOSPC', bytes: 700 } : undefined);
  await put(log, 'a', '1');
  expect(refused).toBe(2);
  expect(sizesOf(directory)).toEqual([log.status.diskBytes]);
  for (let i = 0; i < ROOM_AGAIN_AFTER_BATCHES; i++) await put(log, 'b', '1');
  expect(sizesOf(directory)).toEqual([log.status.diskBytes]);
  await put(log, 'c', '1');
  expect(sizesOf(directory)).toEqual([log.status.diskBytes + ROOM]);
});

it('is whole bytes, also of segments of an odd size', async () => {
  const log = await logs.open({ segmentBytes: 65_537 });
  await put(log, 'a', '1');
  expect(sizesOf(await logs.directory())).toEqual([log.status.diskBytes + 32_768]);
});

it('that a crash left behind a seal is given back by a close without a write', async () => {
  const directory = await logs.directory();
  const log = await logs.open();
  await put(log, 'a', '1');
  await log.close();
  const [size] = sizesOf(directory);
  appendFileSync(segmentsIn(directory)[0]!, Buffer.alloc(ROOM, ROOM_BYTE));
  const again = await logs.open();
  await again.close();
  expect(sizesOf(directory)).toEqual([size]);
  expect(logs.warnings).toEqual([]);
});

it('behind a torn write is saved with it, but not on a disk too full for it', async () => {
  const log = await logs.open({ roomBytes: ROOM });
  await put(log, 'a', '1');
  const directory = await crashed();
  const [path] = segmentsIn(directory);
  const bytes = readFileSync(path!);
  bytes.fill(7, log.status.diskBytes + 10, log.status.diskBytes + 100);
  writeFileSync(path!, bytes);
  const fileSystem = new FaultyFileSystem();
  let writes = 0;
  // All of it has no space, what was torn has.
  const answers = [{ bytes: 100 }, { code: 'ENOSPC' }, { bytes: 100 }];
  fileSystem.fault = (operation, name) =>
    operation === 'write' && name.includes('/torn/') ? (answers[writes++] ?? { code: 'ENOSPC' }) : undefined;
  const warnings: string[] = [];
  const again = await openFileLog({ directory, fileSystem, onWarning: (message) => warnings.push(message) });
  expect(warnings).toEqual([expect.stringContaining('were cut off and saved as')]);
  const torn = join(directory, 'torn');
  expect(readFileSync(join(torn, readdirSync(torn)[0]!))).toEqual(bytes.subarray(log.status.diskBytes, log.status.diskBytes + 100));
  await again.close();
});

it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].flatMap((read) => [[read, 'filled'] as const, [read, 'given back'] as const]))(
  'is no unfinished write when somebody verifies the log from outside and, at read %i, it is %s',
  async (read, what) => {
    const log = await logs.open({ roomBytes: ROOM });
    await put(log, 'a', '1');
    const fileSystem = new FaultyFileSystem();
    let reads = 0;
    fileSystem.fault = (operation) =>
      operation === 'read' && ++reads === read ? { wait: what === 'filled' ? put(log, 'b', '1') : log.close() } : undefined;
    expect(await verifyLog(await logs.directory(), { fileSystem })).toMatchObject({ unfinished: undefined });
  },
);

it('that is filled while somebody verifies the log from outside is no damage', async () => {
  const log = await logs.open({ roomBytes: ROOM });
  await put(log, 'a', '1');
  const fileSystem = new FaultyFileSystem();
  let reads = 0;
  // Two batches before each read, so that there is a later one behind every end that was seen.
  const wait = async () => {
    for (let i = 0; i < 2; i++) await put(log, `k${reads}`, '1');
  };
  fileSystem.fault = (operation) => (operation === 'read' && reads++ < 10 ? { wait: wait() } : undefined);
  const { head, unfinished } = await verifyLog(await logs.directory(), { fileSystem });
  expect(reads).toBeGreaterThan(4);
  expect(head).toBeGreaterThan(3);
  expect(unfinished).toBeUndefined();
});

it('does not begin a batch behind one that fails', async () => {
  const fileSystem = new FaultyFileSystem();
  await fileSystem.makeDirectory(await logs.directory());
  const file = await fileSystem.open(join(await logs.directory(), 'file'), 'create');
  let syncs = 0;
  fileSystem.fault = (operation) => (operation === 'sync' && syncs++ === 0 ? { code: 'EIO' } : undefined);
  const end = new SegmentEnd({ roomBytes: 0, roomEnd: 0, thread: undefined, nowMs: () => 0 });
  const block = byteBlock(4_096);
  const length = encodeRecord(block, 0, putRequest('a', '1'));
  const written = (position: number) => end.write(file, block, length, { position, seed: 1, room: 'make' });
  expect(await Promise.allSettled([written(0), written(length)])).toMatchObject([
    { reason: { code: 'EIO' } },
    { reason: expect.any(NotBegun) },
  ]);
  expect(fileSystem.count('write')).toBe(1);
  await Promise.all([written(0), written(length)]);
  expect(fileSystem.count('write')).toBe(3);
  await file.close();
});
