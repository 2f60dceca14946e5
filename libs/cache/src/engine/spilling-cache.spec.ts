import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom, seedFromEnv, tempDir, waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import type { SpillingCacheOptions } from './spilling-cache.js';
import { SpillingCache } from './spilling-cache.js';

async function open(options: Partial<SpillingCacheOptions> = {}) {
  const dir = await tempDir('spill-');
  const cache = await SpillingCache.open({
    directory: dir.path,
    entriesMax: 1_000,
    memoryBytesMax: 1_000,
    diskBytesMax: 10_000,
    writesMax: 1_000,
    ...options,
  });
  const settled = (files: number) =>
    waitFor(async () => cache.writing === 0 && (await readdir(dir.path)).length === files, { what: `${files} files`, timeoutMs: 60_000 });
  const close = async () => {
    await cache[Symbol.asyncDispose]();
    expect(await readdir(dir.path)).toEqual([]);
    await dir.remove();
  };
  return { cache, directory: dir.path, settled, [Symbol.asyncDispose]: close };
}
const bytes = (fill: number, length = 399) => new Uint8Array(length).fill(fill);

it('brings back from disk what memory had no room for, and writes once what does not change', async () => {
  await using spill = await open();
  for (let i = 0; i < 10; i++) spill.cache.add(`k${i}`, bytes(i));
  expect(spill.cache.memoryBytes).toBeLessThanOrEqual(1_000);
  await spill.settled(8);
  for (let round = 0; round < 3; round++)
    for (let i = 0; i < 10; i++) expect([...(await spill.cache.get(`k${i}`))!]).toEqual([...bytes(i)]);
  expect(spill.cache.counts).toEqual({ fromMemory: 0, fromDisk: 30, misses: 0, spilled: 10, dropped: 0 });
});

it('never shows what was replaced or removed before it was asked, whatever reads were under way', async () => {
  await using spill = await open();
  for (let i = 0; i < 10; i++) spill.cache.add(`k${i}`, bytes(i));
  await spill.settled(8);
  const reads = [0, 1, 2].map((i) => spill.cache.get(`k${i}`));
  spill.cache.add('k0', bytes(77));
  expect([spill.cache.remove('k1'), spill.cache.remove('k1')]).toEqual([true, false]);
  await Promise.all(reads);
  const { fromMemory, fromDisk, misses } = spill.cache.counts;
  expect(fromMemory + fromDisk + misses, 'each look-up counts, also one that was overtaken').toBe(3);
  expect([(await spill.cache.get('k0'))?.[0], await spill.cache.get('k1'), (await spill.cache.get('k2'))?.[0]]).toEqual([77, undefined, 2]);
});

it('shows what a key was replaced by during the read, also when that was spilled by then', async () => {
  await using spill = await open({ memoryBytesMax: 500 });
  spill.cache.add('a', bytes(1));
  spill.cache.add('b', bytes(2));
  await spill.settled(1);
  const overtaken = spill.cache.get('a');
  spill.cache.add('a', bytes(3));
  spill.cache.add('c', bytes(4));
  expect((await overtaken)?.[0]).toBe(3);
  expect(spill.cache.counts).toMatchObject({ fromMemory: 0, fromDisk: 1, misses: 0 });
});

it('takes a file that is not what it wrote for a miss', async () => {
  await using spill = await open({ memoryBytesMax: 500 });
  spill.cache.add('a', bytes(1));
  spill.cache.add('b', bytes(2));
  await spill.settled(1);
  const [name] = await readdir(spill.directory);
  await waitFor(async () => (await writeFile(join(spill.directory, name!), bytes(9)), true));
  expect([await spill.cache.get('a'), spill.cache.counts.misses]).toEqual([undefined, 1]);
  await spill.settled(0);
});

it('keeps the directory within its bound, and drops what cannot be written in time', async () => {
  await using spill = await open({ diskBytesMax: 2_000, writesMax: 2 });
  const random = seededRandom(seedFromEnv());
  for (let i = 0; i < 300; i++) {
    spill.cache.add(`k${Math.floor(random() * 100)}`, bytes(i & 255, Math.floor(random() * 600)));
    if (i % 10 === 0) await spill.cache.get(`k${Math.floor(random() * 100)}`);
    expect([spill.cache.memoryBytes <= 1_000, spill.cache.diskBytes <= 2_000]).toEqual([true, true]);
  }
  expect(spill.cache.counts.dropped).toBeGreaterThan(0);
});
