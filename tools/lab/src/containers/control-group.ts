import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Processor time that a container has used, in milliseconds, as its control group (cgroups(7), version 1 or 2) says at once; an engine may tell no
 * more than once a second. Undefined where the group is not seen from here: on another machine, or none any more.
 *
 * @param pid of the container's first process, as this machine knows it
 */
export function groupCpuMs(
  pid: number,
  containerId: string,
  roots: Roots = { proc: '/proc', groups: '/sys/fs/cgroup' },
): number | undefined {
  try {
    const lines = readFileSync(join(roots.proc, String(pid), 'cgroup'), 'utf8')
      .trim()
      .split('\n');
    const places = lines.map((line) => /^\d+:([^:]*):(.*)$/.exec(line)).filter((place) => place?.[2]?.includes(containerId));
    const legacy = places.find((place) => place![1]!.split(',').includes('cpuacct'));
    if (legacy) return Number(readFileSync(join(roots.groups, 'cpuacct', legacy[2]!, 'cpuacct.usage'), 'utf8')) / 1e6;
    const unified = places.find((place) => place![1] === '');
    if (!unified) return undefined;
    const [, usec] = /^usage_usec (\d+)$/m.exec(readFileSync(join(roots.groups, unified[2]!, 'cpu.stat'), 'utf8')) ?? [];
    return usec === undefined ? undefined : Number(usec) / 1000;
  } catch {
    return undefined;
  }
}

interface Roots {
  readonly proc: string;
  readonly groups: string;
}
