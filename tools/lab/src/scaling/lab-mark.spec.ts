import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tempDir } from '@diptych/testing';
import { projectName, removeProjectsOfDeadLabs } from './compose-project.js';
import { removeGroupsOfDeadLabs } from './cpu-quota.js';
import { isDead, markIn, ownMark, written } from './lab-mark.js';

const own = ownMark();
const onLinux = process.platform === 'linux';

it('a lab is known by its boot, its process and when that began', () => {
  expect(markIn(`x-${written(own)}-7`, 'x-')).toEqual(own);
  for (const foreign of ['x-1', `y-${written(own)}`, `x-${written(own)}y`, 'x-zzzzzzzz-1-2-3', 'x-ffffffff-1-2'])
    expect(markIn(foreign, 'x-')).toBeUndefined();
});

it.runIf(onLinux)('a lab is dead when its process is gone, another has its number, or the machine was started anew', async () => {
  expect(isDead(own)).toBe(false);
  expect(isDead({ ...own, began: '1' })).toBe(true);
  expect(isDead({ ...own, boot: 'ffffffff' })).toBe(true);
  // What cannot be known is left alone.
  expect(isDead({ ...own, namespace: '1', began: '1' })).toBe(false);
  expect(isDead({ ...own, boot: 'ffffffff' }, { ...own, boot: '00000000' })).toBe(false);
  const child = spawn(process.execPath, ['-e', '0']);
  await once(child, 'exit');
  expect(isDead({ ...own, pid: child.pid! })).toBe(true);
});

it.runIf(onLinux)('removes groups of dead labs, with what still runs in them, and no others', async () => {
  await using root = await tempDir();
  const left = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const dead = `diptych-lab-${written({ ...own, began: '1' })}`;
  const kept = [`diptych-lab-${written(own)}`, 'diptych-lab-of-somebody', 'system.slice'];
  for (const name of [dead, ...kept]) mkdirSync(join(root.path, name));
  const empty = `diptych-lab-${written({ ...own, began: '2' })}`;
  mkdirSync(join(root.path, empty));
  mkdirSync(join(root.path, dead, 'cache-1'));
  // A process of another namespace reads as 0: a signal to that would end this process and its group.
  writeFileSync(join(root.path, dead, 'cache-1', 'cgroup.procs'), `0\n${left.pid}\n`);
  const ended = once(left, 'exit');
  // One that cannot even be read keeps nobody from the others.
  mkdirSync(join(root.path, dead, 'aaa-1'));
  const complaints = await removeGroupsOfDeadLabs(root.path);
  expect(complaints).toEqual([expect.stringContaining('aaa-1'), expect.stringContaining('cache-1')]);
  expect(await ended).toEqual([null, 'SIGKILL']);
  // A file of the kernel's does not keep a group from being removed, one of ours does: what cannot be removed is left.
  expect(readdirSync(root.path).sort()).toEqual([dead, ...kept].sort());
});

it('takes down the projects of dead labs, and no others', async () => {
  const dead = projectName(3).replace(/-\d+-3$/, '-1-3');
  const stuck = dead.replace(/-3$/, '-2');
  const asked: string[][] = [];
  const complaints = await removeProjectsOfDeadLabs(async (args) => {
    asked.push([...args]);
    if (args.includes(stuck)) throw new Error('it does not go');
    return JSON.stringify([stuck, dead, projectName(1), 'diptych', 'diptych-scaling-1'].map((Name) => ({ Name })));
  });
  expect(asked.slice(1)).toEqual([stuck, dead].map((name) => ['compose', '--project-name', name, 'down', '--volumes', '--timeout', '5']));
  expect(complaints).toEqual([`${stuck} of a lab that was killed is left: it does not go`]);
});
