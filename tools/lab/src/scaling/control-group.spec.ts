import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tempDir } from '@diptych/testing';
import { expect, it } from 'vitest';
import { groupUseOf, hasEnded } from './control-group.js';

const TREES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'version 2': {
    'proc/7/cgroup': '0::/system.slice/docker-abc.scope\n',
    'groups/cgroup.controllers': 'cpu memory\n',
    'groups/system.slice/docker-abc.scope/cpu.stat': 'usage_usec 1500000\nnr_periods 20\nnr_throttled 5\nthrottled_usec 80000\n',
    'groups/system.slice/docker-abc.scope/memory.current': '5000\n',
    'groups/system.slice/docker-abc.scope/memory.stat': 'anon 3000\ninactive_file 1000\n',
  },
  'version 1': {
    'proc/7/cgroup': '9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n',
    'groups/cpu/docker/abc/cpu.stat': 'nr_periods 20\nnr_throttled 5\nthrottled_time 80000000\n',
    'groups/cpuacct/docker/abc/cpuacct.usage': '1500000000\n',
    'groups/memory/docker/abc/memory.usage_in_bytes': '5000\n',
    'groups/memory/docker/abc/memory.stat': 'inactive_file 1\ntotal_inactive_file 1000\n',
  },
};

it.each(Object.keys(TREES))('says what the group of a process used, by control groups of %s', async (version) => {
  await using dir = await tempDir();
  for (const [file, text] of Object.entries(TREES[version]!)) {
    mkdirSync(dirname(join(dir.path, file)), { recursive: true });
    writeFileSync(join(dir.path, file), text);
  }
  const where = { proc: join(dir.path, 'proc'), groups: join(dir.path, 'groups') };
  expect(groupUseOf(7, 'abc', where)).toEqual({
    cpuMs: 1_500,
    memoryBytes: 4_000,
    throttling: { periods: 20, throttled: 5, throttledMs: 80 },
  });
  const complaintOf = (pid: number, container: string) => {
    try {
      return groupUseOf(pid, container, where);
    } catch (error) {
      return { hasEnded: hasEnded(error) };
    }
  };
  expect(complaintOf(8, 'abc')).toEqual({ hasEnded: true });
  // Its number is another's by now.
  expect(complaintOf(7, 'def')).toEqual({ hasEnded: true });
  writeFileSync(join(dir.path, 'proc/7/cgroup'), '5:freezer:/docker/abc\n');
  expect(complaintOf(7, 'abc')).toEqual({ hasEnded: false });
});
