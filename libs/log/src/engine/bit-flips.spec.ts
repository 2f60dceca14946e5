import { FakeClock } from '@diptych/kernel/testing';
import { seededRandom, seedFromEnv } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { crashAt, pick } from '../../test/crash-state.js';
import { logOptions, soonBy, Workload } from '../../test/crash-workload.js';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { putRequest } from '../../test/log-fixture.js';
import { MemoryDisk } from '../../test/memory-disk.js';
import type { FileLog } from './file-log.js';
import { openFileLog } from './file-log.js';

/*
 * Claim: a bit that flips anywhere in a log is detected, reported with file and offset, never served and never silently skipped. Only in the
 * last write before a crash may it pass for a torn write: then what is cut off is saved aside and reported.
 *
 * `npm test` flips one bit of a sample of bytes, `npm run test:long` every bit of every byte.
 */
const long = process.env['DIPTYCH_LONG'] === '1';
const clock = new FakeClock();

/** Every entry and every revision of it. */
async function contentOf(log: FileLog): Promise<string> {
  const { keys } = await log.list({ prefix: '', limit: 1_000 }, soonBy(clock));
  const entries = await Promise.all(keys.map(({ key }) => log.read({ key }, soonBy(clock))));
  return JSON.stringify(entries.map(({ entry }) => [entry!.key, entry!.revision, Buffer.from(entry!.value).toString()]));
}

/** A log of several segments; sealed if it was closed. */
async function makeLog(close: boolean): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const workload = new Workload(disk, seededRandom(seedFromEnv()));
  await workload.run(20);
  if (close) await workload.end();
  return new MemoryDisk(disk.content());
}

/** Every byte in long mode, else each with some chance; each bit, or one. */
function* flips(disk: MemoryDisk): Generator<{ path: string; offset: number; bit: number }> {
  const random = seededRandom(seedFromEnv());
  for (const path of disk.paths)
    for (let offset = 0; offset < disk.bytesOf(path).length; offset++) {
      if (!long && random() > 0.12) continue;
      const bits = long ? [0, 1, 2, 3, 4, 5, 6, 7] : [Math.floor(random() * 8)];
      for (const bit of bits) yield { path, offset, bit };
    }
}

function flipped(disk: MemoryDisk, path: string, offset: number, bit: number): MemoryDisk {
  const content = disk.content();
  content.files.get(content.names.get(path) as number)![offset]! ^= 1 << bit;
  return new MemoryDisk(content);
}

describe('one flipped bit', () => {
  it.each([
    ['in a log that was closed', true],
    ['in a log that crashed', false],
  ])('%s is reported with file and offset, and nothing wrong is served', { timeout: 600_000 }, async (_, closed) => {
    const intact = await makeLog(closed);
    const before = await openFileLog(logOptions(new MemoryDisk(intact.content()), clock));
    const whole = await contentOf(before);
    await before.close();
    const found = { flips: 0, refused: 0, cut: 0 };
    for (const { path, offset, bit } of flips(intact)) {
      found.flips++;
      const disk = flipped(intact, path, offset, bit);
      const bytes = disk.bytesOf(path);
      const warnings: string[] = [];
      const opened = await openFileLog({ ...logOptions(disk, clock), onWarning: (message) => warnings.push(message) }).catch(
        (error: Error) => error,
      );
      if (opened instanceof Error) {
        found.refused++;
        expect(opened).toMatchObject({ code: 'INTERNAL' });
        const [, file, at] = /^(\S+) is damaged at offset (\d+): /.exec(opened.message) ?? [];
        expect(file, opened.message).toBe(path);
        // The offset is where the record begins that holds the bit, or the header.
        expect(Number(at)).toBeLessThanOrEqual(offset);
        expect(disk.bytesOf(path).equals(bytes)).toBe(true);
        continue;
      }
      // It may be the last write's, or the seal's: then it is said, and what was cut off is there.
      expect(warnings, `${path} at ${offset}`).toEqual([expect.stringMatching(/cut off and saved as/)]);
      found.cut++;
      const [, file, from, saved] = /^(\S+) .* from offset (\d+) were cut off and saved as (\S+)$/.exec(warnings[0]!)!;
      expect(file).toBe(path);
      expect(Number(from)).toBeLessThanOrEqual(offset);
      expect(disk.bytesOf(saved!)).toEqual(bytes.subarray(Number(from)));
      if (closed) expect(await contentOf(opened)).toBe(whole);
      await opened.close();
    }
    console.info(`bit flips ${JSON.stringify({ seed: seedFromEnv(), closed, ...found })}`);
    expect(found.refused).toBeGreaterThan(found.cut);
  });
});

it('a bit that flips on the way from the disk is never served: the read fails with file and offset, the next one is well', async () => {
  const disk = new MemoryDisk();
  const fileSystem = new FaultyFileSystem(disk);
  const log = await openFileLog(logOptions(fileSystem, clock));
  await log.append(putRequest('key', 'a value'), soonBy(clock));
  const random = seededRandom(seedFromEnv());
  for (let i = 0; i < 200; i++) {
    fileSystem.fault = (operation) => (operation === 'read' ? { flipBit: Math.floor(random() * 8 * 90) } : undefined);
    await expect(log.read({ key: 'key' }, soonBy(clock))).rejects.toThrow(
      /^\d+\.segment is damaged at offset 64: a record cannot be read back/,
    );
    fileSystem.fault = (operation) => (operation === 'read' ? { bytes: pick(random, [1, 7, 100]) } : undefined);
    const { entry } = await log.read({ key: 'key' }, soonBy(clock));
    expect(Buffer.from(entry!.value).toString()).toBe('a value');
  }
  await log.close();
});

it('a bit that flips on the way to the disk is found by the open, and by a read before it', async () => {
  const disk = new MemoryDisk();
  const fileSystem = new FaultyFileSystem(disk);
  const log = await openFileLog(logOptions(fileSystem, clock));
  fileSystem.fault = (operation) => (operation === 'write' ? { flipBit: 8 * 80 + 3 } : undefined);
  await log.append(putRequest('key', 'a value that was flipped'), soonBy(clock));
  fileSystem.fault = () => undefined;
  await log.append(putRequest('other', 'a value'), soonBy(clock));
  await expect(log.read({ key: 'key' }, soonBy(clock))).rejects.toThrow('damaged at offset 64');
  const image = crashAt(disk, disk.records.length, 'killed', seededRandom(1));
  await expect(openFileLog(logOptions(image, clock))).rejects.toThrow(/segment is damaged at offset 64: .* a later write/);
  await log.close();
});
