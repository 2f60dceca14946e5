import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import type { Launcher } from '@diptych/testing';
import { isDead, leftBehind, markIn, ownMark, written } from './lab-mark.js';

/** What the kernel says of a group: in how many periods it could have run, in how many it was stopped because its quota was used up, and for how long. */
export interface Throttling {
  readonly periods: number;
  readonly throttled: number;
  readonly throttledMs: number;
}

/** A control group that holds one instance to a share of a core. */
export interface CpuQuota {
  readonly cpus: number;
  /** Puts a command into the group before its first instruction; its children are in it too. */
  readonly launcher: Launcher;
  throttling(): Throttling;
  /** Begins to hold a group that was made free. Safe to repeat. */
  hold(): void;
  /** Removes the group, whose processes have to be gone. Safe to repeat. */
  remove(): Promise<void>;
}

/**
 * The kernel gives out a quota by period. Its default of 100 ms would let an instance of a quarter of a core stand still for 75 ms at a time, which is the
 * objective's order of size; 20 ms makes that 15.
 */
export const PERIOD_MS = 20;

/**
 * @param isFree it is not held to its share until `hold`: what is prepared before a measurement need not be slow
 * @param name unique among the groups of this process
 * @throws Error with one sentence where groups cannot be made: not Linux, not root, or the controller is not given to us
 */
export function cpuQuota(name: string, cpus: number, isFree = false): CpuQuota {
  const quotaUs = Math.round(cpus * PERIOD_MS * 1000);
  const group = existsSync(join(ROOT, 'cgroup.controllers')) ? unified(name, quotaUs) : legacy(name, quotaUs);
  if (!isFree) group.hold();
  return {
    cpus,
    launcher: (command, args) => ({
      command: '/bin/sh',
      args: ['-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', group.path, command, ...args],
    }),
    hold: () => group.hold(),
    throttling: () => throttlingOf(readFileSync(join(group.path, 'cpu.stat'), 'utf8')),
    remove: () => removed(group.path),
  };
}

/** Why there can be no quotas here, if so: asked before anything is started. */
export async function whyNoQuota(): Promise<string | undefined> {
  try {
    await cpuQuota('probe', 0.25).remove();
    return undefined;
  } catch (error) {
    return `no CPU quota can be set here (Linux, root and the cpu controller of cgroups are needed): ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** `cpu.stat` of both versions: v2 counts in microseconds, v1 in nanoseconds. */
export function throttlingOf(text: string): Throttling {
  const figure = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  const usec = figure('throttled_usec');
  const throttledMs = Number.isNaN(usec) ? figure('throttled_time') / 1e6 : usec / 1e3;
  return { periods: figure('nr_periods'), throttled: figure('nr_throttled'), throttledMs };
}

const ROOT = '/sys/fs/cgroup';
const PREFIX = 'diptych-lab-';
const ours = `${PREFIX}${written(ownMark())}`;

/**
 * Removes the groups of labs that were killed, and ends what still runs in them; of those that live, and of anybody else, nothing. Safe to repeat.
 *
 * @param root where the groups of labs are
 * @returns what is left, in sentences
 */
export async function removeGroupsOfDeadLabs(
  root = existsSync(join(ROOT, 'cgroup.controllers')) ? ROOT : join(ROOT, 'cpu'),
): Promise<string[]> {
  const left: string[] = [];
  for (const name of existsSync(root) ? readdirSync(root) : []) {
    const mark = markIn(name, PREFIX);
    if (!mark || !isDead(mark)) continue;
    const parent = join(root, name);
    for (const { name: group } of readdirSync(parent, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
      // What cannot be removed now is left to the next lab.
      try {
        endAllIn(join(parent, group));
        await removed(join(parent, group));
      } catch (error) {
        left.push(leftBehind(join(name, group), error));
      }
    }
    removedIfEmpty(parent);
  }
  return left;
}

/** Version 2 ends a group by itself, whoever is in it. A process of another namespace reads as 0, which to a signal is our own group. */
function endAllIn(group: string): void {
  if (existsSync(join(group, 'cgroup.kill'))) return writeFileSync(join(group, 'cgroup.kill'), '1');
  const pids = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').map(Number);
  for (const pid of pids.filter((each) => each > 0)) killed(pid);
}

function killed(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

interface Group {
  readonly path: string;
  readonly hold: () => void;
}

/** Version 2: one tree; a controller is handed down one level at a time. */
function unified(name: string, quotaUs: number): Group {
  const parent = join(ROOT, ours);
  writeFileSync(join(ROOT, 'cgroup.subtree_control'), '+cpu');
  mkdirSync(parent, { recursive: true });
  writeFileSync(join(parent, 'cgroup.subtree_control'), '+cpu');
  const path = join(parent, name);
  mkdirSync(path);
  return { path, hold: () => writeFileSync(join(path, 'cpu.max'), `${quotaUs} ${PERIOD_MS * 1000}`) };
}

/** Version 1: the cpu controller has a tree of its own. */
function legacy(name: string, quotaUs: number): Group {
  const path = join(ROOT, 'cpu', ours, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'cpu.cfs_period_us'), String(PERIOD_MS * 1000));
  return { path, hold: () => writeFileSync(join(path, 'cpu.cfs_quota_us'), String(quotaUs)) };
}

/** A group is empty a moment after its last process was waited for; the parent goes with its last child. */
async function removed(path: string): Promise<void> {
  for (let attempt = 1; existsSync(path); attempt++) {
    try {
      rmdirSync(path);
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise<void>((resolve) => systemClock.after(20, resolve));
    }
  }
  // Unless others of this run are still in it.
  removedIfEmpty(join(path, '..'));
}

function removedIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It is not, or it has gone.
  }
}
