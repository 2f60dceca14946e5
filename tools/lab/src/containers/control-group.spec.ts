import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '@diptych/testing';
import { expect, it } from 'vitest';
import { groupCpuMs } from './control-group.js';

const ID = 'f00dcafe';

async function cpuMsWith(files: Readonly<Record<string, string>>): Promise<number | undefined> {
  await using dir = await tempDir('diptych-groups-');
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(dir.path, file, '..'), { recursive: true });
    writeFileSync(join(dir.path, file), text);
  }
  return groupCpuMs(7, ID, { proc: join(dir.path, 'proc'), groups: join(dir.path, 'groups') });
}

it('reads version 1, also beside a version 2 that has no controllers', async () => {
  const text = `4:memory:/docker/${ID}\n3:cpu,cpuacct:/docker/${ID}\n0::/docker/${ID}\n`;
  expect(await cpuMsWith({ 'proc/7/cgroup': text, [`groups/cpuacct/docker/${ID}/cpuacct.usage`]: '1234567890\n' })).toBe(1234.56789);
});

it('reads version 2', async () => {
  const path = `/system.slice/docker-${ID}.scope`;
  const stat = 'usage_usec 1500250\nuser_usec 1000000\n';
  expect(await cpuMsWith({ 'proc/7/cgroup': `0::${path}\n`, [`groups${path}/cpu.stat`]: stat })).toBe(1500.25);
});

it.each([
  ['the process is gone', {}],
  [
    'its number is that of a process of another machine',
    { 'proc/7/cgroup': '0::/user.slice\n', 'groups/user.slice/cpu.stat': 'usage_usec 1\n' },
  ],
  ['the tree is mounted elsewhere', { 'proc/7/cgroup': `0::/docker/${ID}\n` }],
])('says nothing when %s', async (_, files) => {
  expect(await cpuMsWith(files)).toBeUndefined();
});
