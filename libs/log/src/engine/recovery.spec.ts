import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { FakeClock } from '@diptych/kernel/testing';
import { describe, expect, it } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, nextRequestId, put, putRequest, remove, segmentsIn, soon, useLogs, valueOf } from '../../test/log-fixture.js';
import { waitFor } from '@diptych/testing';
import { Lifetime } from '@diptych/kernel';
import type { Follower } from '../follow.js';
import { follow } from '../follow.js';
import type { Commit, CommitEvent, LogPort, Position } from '../log.port.js';
import type { FileLog } from './file-log.js';
import { openFileLog } from './file-log.js';
import { RECORD_MARKER, RECORD_MARKER_OFFSET } from './record-layout.js';
import { SEGMENT_HEADER_BYTES, SKIPPED_REVISIONS } from './segment-header.js';

const logs = useLogs();

describe('a restart', () => {
  it('brings back entries, deletions, revisions, the incarnation and the recent commits', async () => {
    const log = await logs.open();
    await put(log, 'a', '1');
    const { position } = await put(log, 'b', '2');
    await put(log, 'c', '3');
    await remove(log, 'a');
    const before = await log.report({ prefix: '' }, soon());
    await log.close();
    const again = await logs.open();
    expect(again.incarnation).toBe(log.incarnation);
    expect(await allKeys(again)).toEqual(['b', 'c']);
    expect(await again.read({ key: 'b' }, soon())).toMatchObject({ entry: { revision: position.revision }, asOf: { revision: 4 } });
    expect(await again.report({ prefix: '' }, soon())).toEqual(before);
    expect(await again.committed({ after: { ...position, revision: 2 }, limit: 10 }, soon())).toMatchObject({
      kind: 'page',
      commits: [
        { key: 'c', revision: 3, previous: 2, deleted: false },
        { key: 'a', revision: 4, previous: 3, deleted: true },
      ],
    });
    expect((await put(again, 'd', '4')).position.revision).toBe(5);
    expect(logs.warnings).toEqual([]);
  });

  it('remembers request ids', async () => {
    const log = await logs.open();
    const request = putRequest('a', '1', { kind: 'ifAbsent' });
    const first = await log.append(request, soon());
    const deletion = nextRequestId();
    const deleted = await remove(log, 'a', undefined, deletion);
    await log.close();
    const again = await logs.open();
    expect(await again.append(request, soon())).toEqual(first);
    expect(await remove(again, 'a', undefined, deletion)).toEqual(deleted);
    await expect(put(again, 'a', 'other', undefined, request.requestId)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    expect(await valueOf(again, 'a')).toBeUndefined();
  });

  it('bounds what it remembers by time and by count', async () => {
    const clock = new FakeClock();
    const log = await logs.open({ clock, dedupeMs: 1_000, dedupeCountMax: 3 });
    const request = putRequest('a', '1');
    const context = () => ({ deadlineMs: clock.nowMs() + 60_000 });
    const first = await log.append(request, context());
    clock.advance(1_000);
    expect(await log.append(request, context())).toEqual(first);
    clock.advance(1);
    const second = await log.append(request, context());
    expect(second.position.revision).toBe(2);
    for (let i = 0; i < 2; i++) await log.append(putRequest(`k${i}`, 'v'), context());
    expect(await log.append(request, context())).toEqual(second);
    await log.append(putRequest('k2', 'v'), context());
    expect((await log.append(request, context())).position.revision).toBe(6);
  });

  it('keeps what it remembers when the wall clock steps forward, and after a restart goes by the record', async () => {
    const clock = new SteppingClock();
    const log = await logs.open({ clock, dedupeMs: 1_000 });
    const request = putRequest('a', '1');
    const context = () => ({ deadlineMs: clock.nowMs() + 60_000 });
    const first = await log.append(request, context());
    clock.stepMs = 700_000;
    expect(await log.append(request, context())).toEqual(first);
    await log.close();
    clock.stepMs = -700_000;
    const again = await logs.open({ clock, dedupeMs: 1_000 });
    clock.advance(1_000);
    expect(await again.append(request, context())).toEqual(first);
    clock.advance(1);
    expect((await again.append(request, context())).position.revision).toBe(2);
  });

  it('answers RESYNC below the commits it keeps', async () => {
    const log = await logs.open({ recentCommitsMax: 3 });
    for (let i = 0; i < 5; i++) await put(log, `k${i}`, 'v');
    const after = (revision: number) => ({ after: { incarnation: log.incarnation, partition: 0, revision }, limit: 10 });
    expect(await log.committed(after(1), soon())).toMatchObject({ kind: 'resync', head: { revision: 5 } });
    expect(await log.committed(after(2), soon())).toMatchObject({
      kind: 'page',
      commits: [{ revision: 3 }, { revision: 4 }, { revision: 5 }],
    });
  });
});

describe('a torn tail', () => {
  it('is cut at the last whole record, wherever the final write broke off', async () => {
    const directory = await logs.directory();
    const fileSystem = Object.assign(new FaultyFileSystem(), { syncs: false });
    const log = await logs.open();
    await put(log, 'before', '1');
    const sizeBefore = log.status.diskBytes;
    await Promise.all(['x', 'y', 'z'].map((key) => put(log, key, key.repeat(10))));
    const sizeAfter = log.status.diskBytes;
    // The seal of a clean end is not there after a crash.
    const image = `${directory}-image`;
    cpSync(directory, image, { recursive: true });
    await log.close();
    const ends = recordEnds(segmentsIn(image)[0]!);
    const states = new Set<string>();
    for (let size = sizeBefore; size <= sizeAfter; size++) {
      rmSync(directory, { recursive: true });
      cpSync(image, directory, { recursive: true });
      truncateSync(segmentsIn(directory)[0]!, size);
      logs.warnings.length = 0;
      const again = await logs.open({ fileSystem });
      const whole = ends.filter((end) => end <= size);
      expect(await allKeys(again)).toEqual(['before', 'x', 'y', 'z'].slice(0, whole.length));
      const cut = size - whole.at(-1)!;
      if (cut === 0) expect(logs.warnings).toEqual([]);
      else {
        expect(logs.warnings).toEqual([expect.stringContaining(`${cut} bytes from offset ${whole.at(-1)}`)]);
        const [saved] = readdirSync(join(directory, 'torn'));
        expect(readFileSync(join(directory, 'torn', saved!))).toEqual(readFileSync(segmentsIn(image)[0]!).subarray(whole.at(-1), size));
      }
      // All or part of the last batch is gone: it may have been acknowledged, so its revisions are not given out again.
      const lost = cut > 0 || whole.length === 2 || whole.length === 3;
      expect((await put(again, 'after', '1')).position.revision).toBe(whole.length + 1 + (lost ? SKIPPED_REVISIONS : 0));
      states.add((await allKeys(again)).join());
      await again.close();
      logs.warnings.length = 0;
      const third = await logs.open({ fileSystem });
      expect(await valueOf(third, 'after')).toBe('1');
      expect(logs.warnings).toEqual([]);
      await third.close();
    }
    expect(states.size).toBe(4);
    rmSync(image, { recursive: true });
  });

  it('that had been acknowledged is noticed by a reader which missed the first beacon, whatever was written since', async () => {
    const directory = await logs.directory();
    const log = await logs.open();
    await put(log, 'a', '1');
    const follower = new Reader(log);
    await follower.start();
    await put(log, 'a', '2');
    await put(log, 'b', '2');
    expect(follower).toMatchObject({ resyncs: 1, seen: ['a', 'b'], position: { revision: 3 } });
    // The disk loses the last write, which was acknowledged, and the process ends without a seal.
    const image = `${directory}-image`;
    cpSync(directory, image, { recursive: true });
    await log.close();
    rmSync(directory, { recursive: true });
    renameSync(image, directory);
    overwrite(segmentsIn(directory)[0]!, recordEnds(segmentsIn(directory)[0]!).at(-1)! - 1, Buffer.from('!'));
    const again = await logs.open();
    // The log grows past the reader's position, and beyond, before the reader hears of it again.
    for (let i = 0; i < 5; i++) await put(again, `c${i}`, '3');
    await follower.goOn(again);
    expect(follower).toMatchObject({ resyncs: 2, seen: ['a', 'b'], position: { revision: again.status.headRevision } });
    await put(again, 'd', '4');
    expect(follower.seen.at(-1)).toBe('d');
    await again.close();
    // Also after a restart, with what is remembered and what was left out in one log.
    const third = await logs.open();
    expect(third.status.headRevision).toBe(2 + SKIPPED_REVISIONS + 6);
    await follower.goOn(third);
    expect(follower).toMatchObject({ resyncs: 2 });
  });

  it('leaves out revisions also when the open that cut it got no further', async () => {
    const directory = await logs.directory();
    const fileSystem = new FaultyFileSystem();
    const request = putRequest('a', '1');
    const log = await logs.open();
    const first = await log.append(request, soon());
    await log.close();
    appendFileSync(segmentsIn(directory)[0]!, Buffer.alloc(100, 7));
    fileSystem.fault = (operation, path) => (operation === 'rename' && path.endsWith('.segment') ? { code: 'EIO' } : undefined);
    await expect(logs.open({ fileSystem })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const again = await logs.open();
    expect((await put(again, 'b', '1')).position.revision).toBe(2 + SKIPPED_REVISIONS);
    expect(await again.append(request, soon())).toEqual(first);
    await again.compact();
    await again.close();
    const third = await logs.open({ dedupeCountMax: 10 });
    expect(await third.append(request, soon())).toEqual(first);
    expect((await put(third, 'c', '1')).position.revision).toBe(3 + SKIPPED_REVISIONS);
  });

  it('leaves them out for good once it was opened, whatever becomes of what was saved aside', async () => {
    const directory = await logs.directory();
    const log = await logs.open();
    await put(log, 'a', '1');
    await log.close();
    appendFileSync(segmentsIn(directory)[0]!, Buffer.alloc(100, 7));
    await (await logs.open()).close();
    rmSync(join(directory, 'torn'), { recursive: true });
    expect((await put(await logs.open(), 'b', '1')).position.revision).toBe(2 + SKIPPED_REVISIONS);
  });

  describe('of what a compacted segment had seen', () => {
    const options = { segmentBytes: 65_536, compactionGarbageBytes: 1, dedupeCountMax: 1 };

    /** The newest segment of a log that crashed after a compaction. */
    async function crashed(): Promise<string> {
      const directory = await logs.directory();
      const log = await logs.open(options);
      for (let i = 0; i < 4; i++) await put(log, 'k', 'v'.repeat(30_000));
      await put(log, 'last', '1');
      await log.compact();
      expect(log.status).toMatchObject({ headRevision: 5, compaction: { compactions: 1 } });
      const image = `${directory}-image`;
      cpSync(directory, image, { recursive: true });
      await log.close();
      rmSync(directory, { recursive: true });
      renameSync(image, directory);
      return segmentsIn(directory).at(-1)!;
    }

    it('is damage, since that had been durable', async () => {
      const newest = await crashed();
      truncateSync(newest, recordEnds(newest).at(-1)! - 1);
      await expect(logs.open(options)).rejects.toMatchObject({
        code: 'INTERNAL',
        message: expect.stringMatching(/is damaged at offset \d+: .* a segment was compacted after revision 5 had been durable/),
      });
      expect(existsSync(join(await logs.directory(), 'torn'))).toBe(false);
    });

    it('that vanished whole is noticed, and no revision is given out again', async () => {
      const newest = await crashed();
      truncateSync(newest, recordEnds(newest).at(-2));
      const again = await logs.open(options);
      expect(logs.warnings).toEqual([expect.stringMatching(/ends at revision 4; it ended at 5 when a segment was compacted$/)]);
      expect((await put(again, 'b', '1')).position.revision).toBe(5 + SKIPPED_REVISIONS);
      await again.close();
      await (await logs.open(options)).close();
      expect(logs.warnings).toHaveLength(1);
    });
  });

  it('may be any garbage: zeros, noise, holes inside the final write', async () => {
    const directory = await logs.directory();
    const log = await logs.open();
    await put(log, 'before', '1');
    await Promise.all(['x', 'y', 'z'].map((key) => put(log, key, key.repeat(100))));
    const image = `${directory}-image`;
    cpSync(directory, image, { recursive: true });
    await log.close();
    const [, x, y] = recordEnds(segmentsIn(image)[0]!);
    const damages: Array<[(path: string) => void, string[]]> = [
      [(path) => overwrite(path, x!, Buffer.alloc(200)), ['before', 'x']],
      [(path) => appendFileSync(path, Buffer.alloc(5_000, 0xff)), ['before', 'x', 'y', 'z']],
      [(path) => appendFileSync(path, RECORD_MARKER), ['before', 'x', 'y', 'z']],
      [(path) => overwrite(path, x! + 20, Buffer.alloc(40)), ['before', 'x']],
      [(path) => overwrite(path, x! + 4, Buffer.alloc(4, 0xff)), ['before', 'x']],
      [(path) => overwrite(path, y! - 1, Buffer.from('!')), ['before', 'x']],
    ];
    for (const [damage, keys] of damages) {
      rmSync(directory, { recursive: true });
      cpSync(image, directory, { recursive: true });
      damage(segmentsIn(directory)[0]!);
      logs.warnings.length = 0;
      const again = await logs.open();
      expect(await allKeys(again)).toEqual(keys);
      expect(logs.warnings).toHaveLength(1);
      await again.close();
    }
    rmSync(image, { recursive: true });
  });
});

/** What a cache sees of a log: one stream through restarts of it, which hears nothing while it is away. */
class Reader {
  resyncs = 0;
  readonly seen: string[] = [];
  #follower: Follower | undefined;
  #log: FileLog;
  #lifetime = new Lifetime('reader');

  constructor(log: FileLog) {
    this.#log = log;
  }

  get position(): Position | undefined {
    return this.#follower?.position;
  }

  async start(): Promise<void> {
    // The calls go to whichever log there is now.
    const port = {
      committed: (request, context) => this.#log.committed(request, context),
      commits: (listener) => this.#listen(listener),
    } as Pick<LogPort, 'committed' | 'commits'> as LogPort;
    const handlers = { onCommit: ({ key }: Commit) => void this.seen.push(key), onResync: () => void this.resyncs++ };
    this.#follower = await follow(port, handlers, { lifetime: this.#lifetime });
  }

  async goOn(log: FileLog): Promise<void> {
    this.#log = log;
    await log.commits(this.#listener);
    await waitFor(() => this.position?.revision === log.status.headRevision);
  }

  #listener: (event: CommitEvent) => void = () => undefined;

  #listen(listener: (event: CommitEvent) => void): ReturnType<LogPort['commits']> {
    this.#listener = listener;
    return this.#log.commits(listener);
  }
}

describe('damage', () => {
  it('to any byte of what was durable is reported with file and offset, and nothing is changed', async () => {
    const directory = await logs.directory();
    const log = await logs.open({ segmentBytes: 65_536 });
    for (let i = 0; i < 4; i++) await put(log, `k${i}`, `value ${i}`);
    await log.close();
    const [path] = segmentsIn(directory);
    const intact = readFileSync(path!);
    const ends = recordEnds(path!);
    const sealStart = ends.at(-2)!;
    for (let offset = 0; offset < sealStart; offset++) {
      const bytes = Buffer.from(intact);
      bytes[offset]! ^= 1 << (offset % 8);
      writeFileSync(path!, bytes);
      const recordStart = offset < SEGMENT_HEADER_BYTES ? 0 : [SEGMENT_HEADER_BYTES, ...ends].findLast((start) => start <= offset)!;
      const failure = await logs.open().catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 'INTERNAL', message: expect.stringContaining(`${path} is damaged at offset ${recordStart}`) });
      expect(readFileSync(path!).equals(bytes)).toBe(true);
      expect(existsSync(join(directory, 'torn'))).toBe(false);
    }
    writeFileSync(path!, intact);
    expect((await logs.open()).status.keys).toBe(4);
  });

  it('to the last write before a clean close, or before an open, is no torn tail either', async () => {
    const directory = await logs.directory();
    const log = await logs.open();
    await put(log, 'a', '1');
    await put(log, 'b', '2');
    const image = `${directory}-crashed`;
    cpSync(directory, image, { recursive: true });
    await log.close();
    const [path] = segmentsIn(directory);
    const [, end] = recordEnds(path!);
    const intact = readFileSync(path!);
    overwrite(path!, end! - 1, Buffer.from('?'));
    await expect(logs.open()).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('a later write') });
    // The same after a crash, once the log was opened again.
    rmSync(directory, { recursive: true });
    renameSync(image, directory);
    const again = await logs.open();
    expect(readFileSync(path!).subarray(0, end)).toEqual(intact.subarray(0, end));
    cpSync(directory, image, { recursive: true });
    await again.close();
    rmSync(directory, { recursive: true });
    renameSync(image, directory);
    overwrite(path!, end! - 1, Buffer.from('?'));
    await expect(logs.open()).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('a later write') });
  });

  it('to an older segment, at its end too, is never taken for a torn tail', async () => {
    const directory = await logs.directory();
    const log = await logs.open({ segmentBytes: 65_536 });
    for (let i = 0; i < 10; i++) await put(log, `k${i}`, new Uint8Array(20_000));
    await log.close();
    const [first] = segmentsIn(directory);
    const size = statSync(first!).size;
    truncateSync(first!, size - 1);
    await expect(logs.open()).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining(`${first} is damaged at offset`),
    });
    expect(statSync(first!).size).toBe(size - 1);
  });

  it('found by a read is an error of that read, never served, and others go on', async () => {
    const directory = await logs.directory();
    const log = await logs.open();
    await put(log, 'good', 'good');
    await put(log, 'bad', 'bad');
    const [path] = segmentsIn(directory);
    const [start, end] = recordEnds(path!);
    overwrite(path!, start! + 80, Buffer.from([0x55]));
    expect(end).toBeGreaterThan(start! + 80);
    for (const read of [log.read({ key: 'bad' }, soon()), log.report({ prefix: '' }, soon())])
      await expect(read).rejects.toMatchObject({
        code: 'INTERNAL',
        message: `${basename(path!)} is damaged at offset ${start}: a record cannot be read back`,
      });
    expect(await valueOf(log, 'good')).toBe('good');
    await put(log, 'bad', 'mended');
    expect(await valueOf(log, 'bad')).toBe('mended');
  });
});

describe('a directory', () => {
  it.each<[string, (directory: string) => void, RegExp]>([
    ['that is a file', (directory) => writeFileSync(directory, ''), /cannot be used: .*file/],
    ['below a file', (directory) => writeFileSync(join(directory, '..', 'data'), ''), /cannot be used/],
    ['with foreign files', (directory) => (mkdirSync(directory), writeFileSync(join(directory, 'notes.txt'), 'mine')), /holds notes\.txt/],
    [
      'with something else named as a segment',
      (directory) => (mkdirSync(directory), writeFileSync(join(directory, '0000000000000001.segment'), 'x'.repeat(100))),
      /0000000000000001\.segment is damaged at offset 0: this is not a segment/,
    ],
    [
      'with an empty segment',
      (directory) => (mkdirSync(directory), writeFileSync(join(directory, '0000000000000001.segment'), '')),
      /ends after 0 bytes/,
    ],
    [
      'without its first segment',
      (directory) => (mkdirSync(directory), writeFileSync(join(directory, '0000000000000007.segment'), 'x')),
      /0000000000000001\.segment is damaged at offset 0: the segment is missing/,
    ],
  ])('%s is refused in one sentence', async (_, prepare, message) => {
    const directory = await logs.directory();
    prepare(directory);
    const failure = (await logs.open().catch((error: unknown) => error)) as Error;
    expect(failure.message).toMatch(message);
    expect(failure.message).not.toContain('\n');
    expect(failure).toMatchObject({ name: 'DiptychError' });
  });

  it.skipIf(process.getuid?.() === 0)('that may not be read is refused', async () => {
    const directory = await logs.directory();
    mkdirSync(directory, { mode: 0 });
    await expect(logs.open()).rejects.toThrow(/permission is denied/);
    chmodSync(directory, 0o700);
  });

  it('of a later format version is refused, and says so', async () => {
    const directory = await logs.directory();
    await (await logs.open()).close();
    overwrite(segmentsIn(directory)[0]!, 8, Buffer.from([5, 0]));
    await expect(logs.open()).rejects.toThrow(/format version 5, and this program reads versions 1 to 4 only/);
  });

  it('with segments of two logs, or one missing in the middle, is refused', async () => {
    const directory = await logs.directory();
    const log = await logs.open({ segmentBytes: 65_536 });
    for (let i = 0; i < 10; i++) await put(log, `k${i}`, new Uint8Array(20_000));
    await log.close();
    const [, second] = segmentsIn(directory);
    const other = await openFileLog({ directory: `${directory}-other`, segmentBytes: 65_536 });
    for (let i = 0; i < 10; i++) await put(other, `k${i}`, new Uint8Array(20_000));
    await other.close();
    renameSync(second!, `${directory}-kept`);
    await expect(logs.open()).rejects.toThrow(`${basename(second!)} is damaged at offset 0: the segment is missing`);
    copyFileSync(join(`${directory}-other`, basename(second!)), second!);
    await expect(logs.open()).rejects.toThrow(/of another log/);
    unlinkSync(second!);
    renameSync(`${directory}-kept`, second!);
    expect((await logs.open()).status.keys).toBe(10);
  });

  it('with an unfinished segment of a crash is opened', async () => {
    const directory = await logs.directory();
    await (await logs.open()).close();
    writeFileSync(join(directory, '0000000000000002.segment.new'), 'half a hea');
    const log = await logs.open();
    await put(log, 'a', '1');
    expect(readdirSync(directory).sort()).toEqual(['0000000000000001.segment', 'lock.sqlite']);
  });

  it('is for one process at a time, and free again when that is killed', async () => {
    const directory = await logs.directory();
    mkdirSync(directory);
    const holder = spawn(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `import { DatabaseSync } from 'node:sqlite';
         const lock = new DatabaseSync(${JSON.stringify(join(directory, 'lock.sqlite'))});
         lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
         console.log('held');
         setTimeout(() => {}, 60_000);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    await expect(logs.open()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `the log directory ${directory} is in use by another process; stop that one first`,
    });
    expect(segmentsIn(directory)).toEqual([]);
    const gone = new Promise((resolve) => holder.once('exit', resolve));
    holder.kill('SIGKILL');
    await gone;
    await put(await logs.open(), 'a', '1');
    await expect(logs.open()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

/** Its wall clock is set by hand. */
class SteppingClock extends FakeClock {
  stepMs = 0;

  override wallMs(): number {
    return super.wallMs() + this.stepMs;
  }
}

/** Offsets where the records of a segment end, by the lengths written in them. */
/** Behind the last one there may be room. */
function recordEnds(path: string): number[] {
  const bytes = readFileSync(path);
  const ends: number[] = [];
  const isRecord = (offset: number) => bytes.indexOf(RECORD_MARKER, offset) === offset + RECORD_MARKER_OFFSET;
  const lengthAt = (offset: number) => (isRecord(offset) ? bytes.readUInt32LE(offset + 4) : 0);
  for (let offset = SEGMENT_HEADER_BYTES, length; (length = lengthAt(offset)) > 0; ends.push(offset)) offset += length;
  return ends;
}

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const all = readFileSync(path);
  bytes.copy(all, offset);
  writeFileSync(path, all);
}
