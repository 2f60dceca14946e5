import { seededRandom, seedFromEnv } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { BookLogger, readBook } from '../../test/book-logger.js';
import { crashAt } from '../../test/crash-state.js';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, put, valueOf } from '../../test/log-fixture.js';
import { MemoryDisk } from '../../test/memory-disk.js';
import { openFileLog } from './file-log.js';

/*
 * What the book's logger does, and this one must not: answer before anything is on the disk, take a key apart that has a tab or a newline in
 * it, and fail to read back a record longer than 64 KiB. The same is done to both.
 */

const PATH = '/transaction.log';

async function bookOn(disk: MemoryDisk): Promise<BookLogger> {
  return new BookLogger(await disk.open(PATH, 'create'));
}

describe('answering when the event is in the channel', () => {
  it('loses what a crash catches there; an append here is answered when it is on the disk', async () => {
    const random = seededRandom(seedFromEnv());
    // Both disks stop at the same write: what is under way then is what a crash catches.
    const WRITES = 50;
    const book = new MemoryDisk();
    const slow = new FaultyFileSystem(book);
    let writes = 0;
    let stuck: () => void = () => undefined;
    const full = new Promise<void>((resolve) => (stuck = resolve));
    slow.fault = (operation) =>
      operation === 'write' && ++writes > WRITES ? (stuck(), { wait: new Promise(() => undefined) }) : undefined;
    const logger = new BookLogger(await slow.open(PATH, 'create'));
    let answered = 0;
    const client = (async () => {
      for (let i = 0; i < 1_000; i++) {
        await logger.put(`key${i}`, 'value');
        answered++;
      }
    })();
    await full;
    // Its channel fills up; then the seventeenth waits for ever.
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    const killed = await readBook(crashAt(book, book.records.length, 'killed', random), PATH);
    await book.syncDirectory('/');
    const unplugged = await readBook(crashAt(book, book.records.length, 'all lost', random), PATH);

    const ours = new MemoryDisk();
    const log = await openFileLog({ directory: '/log', fileSystem: ours });
    const acknowledged: string[] = [];
    const done = Promise.all(
      Array.from({ length: 200 }, async (_, i) => void acknowledged.push((await put(log, `key${i}`, 'value'), `key${i}`))),
    );
    await put(log, 'first', 'value');
    const lost: number[] = [];
    const known = [...acknowledged];
    for (const crash of ['killed', 'all lost'] as const) {
      const again = await openFileLog({ directory: '/log', fileSystem: crashAt(ours, ours.records.length, crash, random) });
      const keys = new Set(await allKeys(again));
      lost.push(known.filter((key) => !keys.has(key)).length);
      await again.close();
    }
    await done;
    await log.close();
    void client;

    console.info(
      `the book's logger answered ${answered} puts: SIGKILL loses ${answered - killed.length} of them, a power failure ${answered - unplugged.length}; here ${known.length} were answered, and ${lost.join(' and ')} lost`,
    );
    expect(answered - killed.length).toBe(16);
    expect(unplugged).toHaveLength(0);
    expect(known.length).toBeGreaterThan(0);
    expect(lost).toEqual([0, 0]);
  });
});

describe.each([
  ['a tab in the key', 'a\tb', 'value', 'another key'],
  ['a newline in the key', 'a\n2\t2\tforged', 'value', 'a parse error'],
  ['a newline in the value', 'a', 'one\ntwo', 'a parse error'],
  ['a blank in the value', 'a', 'one two', 'another value'],
  ['a record longer than 64 KiB', 'a', 'x'.repeat(70_000), 'a line too long'],
])('%s', (_, key, value, what) => {
  it(`is ${what} when the book's logger reads it back, and itself here`, async () => {
    const disk = new MemoryDisk();
    await (await bookOn(disk)).put(key, value);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    const read = await readBook(disk, PATH).then(
      ([line]) => ({ key: line?.key, value: line?.value }),
      (error: Error) => error,
    );
    expect(read).not.toEqual({ key, value });
    if (what.startsWith('a ')) expect(read).toBeInstanceOf(Error);

    const fileSystem = new MemoryDisk();
    const log = await openFileLog({ directory: '/log', fileSystem });
    await put(log, key, value);
    await log.close();
    const again = await openFileLog({ directory: '/log', fileSystem });
    expect(await allKeys(again)).toEqual([key]);
    expect(await valueOf(again, key)).toBe(value);
    await again.close();
  });
});
