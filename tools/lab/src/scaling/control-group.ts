import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { throttlingOf, type Throttling } from './cpu-quota.js';

/** What the kernel says of the control group that a process is in, such as that of a container. */
export interface GroupUse {
  readonly cpuMs: number;
  /** In use, without the page cache that could be given back at once. */
  readonly memoryBytes: number;
  readonly throttling: Throttling;
}

/**
 * Read from the files of version 2 or 1, whichever is there: at once, and so at the moment it is asked for. (The engine's own interface gives figures of its last look,
 * up to a second old, one container at a time.)
 *
 * @param container its id; one whose process has ended may have left its number to another
 * @throws Error when the process is not there or is none of that container's (`hasEnded`), or the group is not to be seen from here
 */
export function groupUseOf(pid: number, container = '', { proc, groups }: { proc: string; groups: string } = WHERE): GroupUse {
  const lines = readFileSync(join(proc, String(pid), 'cgroup'), 'utf8')
    .trim()
    .split('\n');
  if (!lines.some((line) => line.includes(container)))
    throw Object.assign(new Error(`process ${pid} is none of container ${container}`), { code: 'ESRCH' });
  const paths = lines.map((line) => {
    const [, controllers = '', ...path] = line.split(':');
    return { controllers: controllers.split(','), path: path.join(':') };
  });
  const isUnified = existsSync(join(groups, 'cgroup.controllers'));
  const read = (controller: string, file: string) => {
    const path = paths.find(({ controllers }) => controllers.includes(isUnified ? '' : controller))?.path;
    if (path === undefined) throw new Error(`process ${pid} is in no control group of ${controller}`);
    return readFileSync(join(groups, isUnified ? '' : controller, path, file), 'utf8');
  };
  const cpu = read('cpu', 'cpu.stat');
  const cpuMs = isUnified ? figure(cpu, 'usage_usec') / 1e3 : Number(read('cpuacct', 'cpuacct.usage')) / 1e6;
  const usedBytes = Number(read('memory', isUnified ? 'memory.current' : 'memory.usage_in_bytes'));
  const idleBytes = figure(read('memory', 'memory.stat'), isUnified ? 'inactive_file' : 'total_inactive_file');
  return { cpuMs, memoryBytes: usedBytes - idleBytes, throttling: throttlingOf(cpu) };
}

/** Whether that is why it could not be read: of a group that could be read before. */
export function hasEnded(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH');
}

const WHERE = { proc: '/proc', groups: '/sys/fs/cgroup' };

function figure(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
}
