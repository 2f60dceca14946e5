import { appendFileSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { put, remove, segmentsIn, useLogs } from '../../test/log-fixture.js';
import { openFileLog } from '../engine/file-log.js';
import { SKIPPED_REVISIONS } from '../engine/segment-header.js';
import { runLogCommand } from './log-command.js';

const logs = useLogs();
const EAGER = { segmentBytes: 4_096, dedupeCountMax: 4, compactionGarbageBytes: 1, compactionBytesPerSecond: 1e9 };

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: '', err: '' };
  const stream = (name: 'out' | 'err') => new Writable({ write: (chunk: Buffer, _, done) => ((said[name] += chunk.toString()), done()) });
  const code = await runLogCommand(args, { out: stream('out'), err: stream('err'), signal: new AbortController().signal });
  return { code, ...said };
}

it('verify says OK of a log in use, compacted or not, and where the first damage is', async () => {
  const log = await logs.open(EAGER);
  for (let i = 0; i < 100; i++) await put(log, `k${i % 5}`, 'v'.repeat(200));
  const directory = await logs.directory();
  expect(await run('verify', directory)).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^OK: .*head revision 100, 100 records/) as string,
  });
  await log.compact();
  expect(await run('verify', directory)).toMatchObject({ code: 0, out: expect.stringContaining('head revision 100') as string });
  await log.close();
  for (const path of segmentsIn(directory)) {
    const good = readFileSync(path);
    for (let offset = 0; offset < good.length; offset += 97) {
      const bad = Buffer.from(good);
      bad[offset]! ^= 1 << (offset % 8);
      writeFileSync(path, bad);
      const { code, err } = await run('verify', directory);
      const inLastBatch = path === segmentsIn(directory).at(-1) && code === 0;
      if (!inLastBatch) expect([code, err]).toEqual([1, expect.stringMatching(/\.segment is damaged at offset \d+/)]);
    }
    writeFileSync(path, good);
  }
  expect((await run('verify', directory)).code).toBe(0);
});

it('verify tells an unfinished write, and what a compaction left, from damage', async () => {
  const log = await logs.open({ ...EAGER, compactionGarbageRatio: 0.3 });
  for (let i = 0; i < 100; i++) await put(log, `k${i % 5}`, 'v'.repeat(200));
  const directory = await logs.directory();
  const second = segmentsIn(directory)[1]!;
  copyFileSync(second, `${directory}-second`);
  await log.compact();
  await log.close();
  copyFileSync(`${directory}-second`, second);
  appendFileSync(segmentsIn(directory).at(-1)!, Buffer.alloc(100, 7));
  const { code, out } = await run('verify', directory);
  expect(code).toBe(0);
  expect(out).toMatch(/note: 100 bytes at offset \d+ of .* a crash cut short/);
  expect(out).toMatch(`note: ${second} is a leftover of a compaction`);
  const again = await logs.open(EAGER);
  // What was cut off might have been acknowledged.
  expect(again.status).toMatchObject({ keys: 5, headRevision: 100 + SKIPPED_REVISIONS });
  expect(segmentsIn(directory)).not.toContain(second);
});

it('dump prints every mutation as a line of JSON', async () => {
  const log = await logs.open();
  await put(log, 'line\nbreak\t"', 'text', undefined, 'r1');
  await remove(log, 'line\nbreak\t"', undefined, 'r2');
  const { code, out } = await run('dump', await logs.directory());
  const lines = out.trimEnd().split('\n');
  expect(code).toBe(0);
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    {
      kind: 'put',
      revision: 1,
      key: 'line\nbreak\t"',
      contentType: 'text/plain',
      valueBytes: 4,
      value: 'dGV4dA==',
      requestId: 'r1',
      existed: false,
    },
    { kind: 'delete', revision: 2, key: 'line\nbreak\t"', requestId: 'r2', existed: true },
  ]);
  expect((await run('dump', '--no-values', await logs.directory())).out).not.toContain('dGV4dA==');
});

it('backup and restore make a log that opens', async () => {
  await put(await logs.open(), 'a', '1');
  const directory = await logs.directory();
  const [backup, restored] = [join(directory, '../backup'), join(directory, '../restored')];
  expect(await run('backup', directory, backup)).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^backed up .* head revision 1/) as string,
  });
  expect(await run('verify', backup)).toMatchObject({ code: 0 });
  expect(await run('restore', backup, restored)).toMatchObject({ code: 0, out: expect.stringMatching(/^restored/) as string });
  await using copy = await openFileLog({ directory: restored });
  expect(copy.status.keys).toBe(1);
});

it.each([
  [[], /which command\?/],
  [['frobnicate', 'x'], /there is no command "frobnicate"/],
  [['verify'], /verify takes one directory/],
  [['verify', 'a', 'b'], /verify takes one directory/],
  [['backup', 'a'], /backup takes two directories/],
  [['verify', 'a', '--no-values'], /--no-values is for dump/],
  [['verify', 'a', '--wat'], /Unknown option/],
  [['verify', '/nowhere/at/all'], /cannot be read: it is not there/],
])('wrong arguments %j are told, with exit code 2', async (args, message) => {
  expect(await run(...args)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) as string });
});

it('help is no error, and a stop is one', async () => {
  expect(await run('help')).toMatchObject({ code: 0, err: '', out: expect.stringContaining('log verify <directory>') as string });
  await put(await logs.open(), 'a', '1');
  const err = new Writable({ write: (_chunk, _encoding, done) => done() });
  const code = await runLogCommand(['dump', await logs.directory()], { out: err, err, signal: AbortSignal.abort(new Error('stopped')) });
  expect(code).toBe(1);
});
