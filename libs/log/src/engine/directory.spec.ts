import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { useLogs } from '../../test/log-fixture.js';
import { nodeFileSystem } from './file-system.js';

const logs = useLogs();
afterEach(() => void vi.restoreAllMocks());

it('a foreign directory is refused as it is: no lock is put into it, and what looks like a leftover stays', async () => {
  const directory = await logs.directory();
  mkdirSync(directory);
  const names = ['0000000000000001.segment.new', 'accounts.ods', '0000000000000002.segment.new'];
  for (const name of names) writeFileSync(join(directory, name), 'precious');
  await expect(logs.open()).rejects.toThrow(`${directory} holds accounts.ods, which is no part of a log`);
  expect(readdirSync(directory).sort()).toEqual([...names].sort());
});

it('nothing is removed when something foreign comes in while the directory is being locked', async () => {
  const directory = await logs.directory();
  mkdirSync(directory);
  writeFileSync(join(directory, '0000000000000001.segment.new'), '');
  const fileSystem = new FaultyFileSystem();
  let lists = 0;
  fileSystem.fault = (operation) => {
    if (operation === 'list' && ++lists === 2) writeFileSync(join(directory, 'zebra'), '');
    return undefined;
  };
  await expect(logs.open({ fileSystem })).rejects.toThrow('holds zebra');
  expect(existsSync(join(directory, '0000000000000001.segment.new'))).toBe(true);
});

it('a leftover of a crash is removed from a log', async () => {
  await (await logs.open()).close();
  const leftover = join(await logs.directory(), '0000000000000009.segment.new');
  writeFileSync(leftover, '');
  await logs.open();
  expect(existsSync(leftover)).toBe(false);
});

it('a directory is made with its parents, for the owner alone, and again without harm', async () => {
  const directory = join(await logs.directory(), 'a', 'b');
  await nodeFileSystem.makeDirectory(directory);
  await nodeFileSystem.makeDirectory(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  writeFileSync(join(directory, 'file'), '');
  await expect(nodeFileSystem.makeDirectory(join(directory, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(nodeFileSystem.makeDirectory(join(directory, 'file', 'c'))).rejects.toMatchObject({ code: 'ENOTDIR' });
});

it.runIf(process.platform === 'linux')('a place that says "no such file" for ever is refused at once', async () => {
  await expect(logs.open({ directory: '/proc/diptych/log' })).rejects.toThrow(
    'the log directory /proc/diptych/log cannot be used: no directory can be made in /proc',
  );
});

it('a relative path in a working directory that is gone is refused', async () => {
  vi.spyOn(process, 'cwd').mockImplementation(() => {
    throw Object.assign(new Error('ENOENT: uv_cwd'), { code: 'ENOENT' });
  });
  await expect(logs.open({ directory: 'data/log' })).rejects.toThrow(
    'the log directory data/log cannot be used: the path is relative, and the working directory of this process is gone',
  );
});
