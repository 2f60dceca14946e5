import { readdirSync, readFileSync } from 'node:fs';

/** What a set of processes has used and holds. Undefined figures cannot be had on this system. */
export interface Usage {
  /** User and system time since each process began, summed. */
  readonly cpuMs: number | undefined;
  /** Resident memory; pages that processes share count in each. */
  readonly rssBytes: number | undefined;
  /**
   * Resident memory, pages of a file that several of these processes map counted once. Whoever else on the machine maps the same file changes
   * nothing, as it would with the proportional set size: another program on the same binary would make these look smaller.
   */
  readonly memoryBytes: number | undefined;
}

/** Reads `/proc`, so on Linux only. A process that is gone counts as nothing. */
export function usageOf(pids: readonly number[]): Usage {
  if (process.platform !== 'linux') return { cpuMs: undefined, rssBytes: undefined, memoryBytes: undefined };
  let rssBytes = 0;
  let anonymousBytes = 0;
  const filesBytes = new Map<string, number>();
  for (const pid of pids) {
    const memory = memoryOf(readOrUndefined(`/proc/${pid}/smaps`) ?? '');
    rssBytes += memory.rssBytes;
    anonymousBytes += memory.anonymousBytes;
    // Processes of one binary hold about the same pages of it: the one that holds most stands for all.
    for (const [file, bytes] of memory.filesBytes) filesBytes.set(file, Math.max(bytes, filesBytes.get(file) ?? 0));
  }
  const memoryBytes = [...filesBytes.values()].reduce((sum, bytes) => sum + bytes, anonymousBytes);
  return { cpuMs: cpuMsOf(pids), rssBytes, memoryBytes };
}

interface Memory {
  readonly rssBytes: number;
  /** Of no file, or a file's that were written to: the process's own. */
  readonly anonymousBytes: number;
  /** Resident pages of each file, by device and inode. */
  readonly filesBytes: ReadonlyMap<string, number>;
}

/** What `smaps` says: a line for each mapping, `address permissions offset device inode path`, followed by its figures. */
export function memoryOf(smaps: string): Memory {
  const memory = { rssBytes: 0, anonymousBytes: 0, filesBytes: new Map<string, number>() };
  for (const mapping of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const [, , , device, inode] = mapping.slice(0, mapping.indexOf('\n')).split(/\s+/);
    const [rssBytes, anonymousBytes] = [kibibytes(mapping, 'Rss'), kibibytes(mapping, 'Anonymous')];
    memory.rssBytes += rssBytes;
    memory.anonymousBytes += anonymousBytes;
    const file = `${device} ${inode}`;
    if (rssBytes > anonymousBytes) memory.filesBytes.set(file, (memory.filesBytes.get(file) ?? 0) + rssBytes - anonymousBytes);
  }
  return memory;
}

/**
 * User and system time of processes since each began, summed; on Linux only. The scheduler's own account has nanoseconds but only of threads that
 * live; `stat` has all but in steps of 10 ms (USER_HZ, 100 on every architecture Linux runs Node on). Neither says too much, so the larger counts.
 */
export function cpuMsOf(pids: readonly number[]): number | undefined {
  if (process.platform !== 'linux') return undefined;
  return pids.reduce((sum, pid) => sum + Math.max(scheduledMs(pid), statMs(pid, [11, 12])), 0);
}

/** User and system time of a process, by default this one, and of its children that have ended and been waited for, in steps of 10 ms. */
export function cpuMsOfOwnAndEnded(pid = process.pid): number | undefined {
  return process.platform === 'linux' ? statMs(pid, [11, 12, 13, 14]) : undefined;
}

/** The name, in parentheses, may hold anything; fields are counted from behind it. 11 to 14: utime, stime, cutime, cstime. */
function statMs(pid: number, places: readonly number[]): number {
  const stat = readOrUndefined(`/proc/${pid}/stat`);
  if (stat === undefined) return 0;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return places.reduce((sum, place) => sum + Number(fields[place]) * 10, 0);
}

function scheduledMs(pid: number): number {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return 0;
  }
  const nanoseconds = threads.map((thread) => Number(readOrUndefined(`/proc/${pid}/task/${thread}/schedstat`)?.split(' ', 1)[0] ?? 0));
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1_000_000;
}

/** What the cores that this process may use did since boot, in milliseconds: differences tell of a window. */
export interface CoreTimes {
  readonly totalMs: number;
  /** Taken by a hypervisor. */
  readonly stealMs: number;
  /** In programs and in the kernel on their behalf; interrupts are not in it. */
  readonly busyMs: number;
}

export function coreTimes(): CoreTimes | undefined {
  const lines = readOrUndefined('/proc/stat')?.split('\n');
  if (lines === undefined) return undefined;
  const allowed = new Set(allowedCores());
  const sum = { totalMs: 0, stealMs: 0, busyMs: 0 };
  for (const line of lines) {
    const [, core] = /^cpu(\d+) /.exec(line) ?? [];
    if (core === undefined || !allowed.has(Number(core))) continue;
    const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0, steal = 0] = line
      .trim()
      .split(/\s+/)
      .slice(1, 9)
      .map(Number);
    sum.totalMs += (user + nice + system + idle + wait + irq + softirq + steal) * 10;
    sum.stealMs += steal * 10;
    sum.busyMs += (user + nice + system) * 10;
  }
  return sum.totalMs === 0 ? undefined : sum;
}

/** The numbers of the cores that this process may run on; none where that cannot be known. */
export function allowedCores(): number[] {
  const [, list = ''] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readOrUndefined('/proc/self/status') ?? '') ?? [];
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return range === '' ? [] : Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
}

function kibibytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
