import { readFileSync } from 'node:fs';

/** What a set of processes has used and holds. Undefined figures cannot be had on this system. */
export interface Usage {
  /** User and system time since each process began, summed. */
  readonly cpuMs: number | undefined;
  /** Resident memory; pages that processes share count in each. */
  readonly rssBytes: number | undefined;
  /** Resident memory, shared pages divided among those that share them: sums are true. */
  readonly pssBytes: number | undefined;
}

/**
 * Reads `/proc`, so on Linux only. The time has a resolution of 10 ms (USER_HZ, 100 on every architecture Linux runs Node on).
 * A process that is gone counts as nothing.
 */
export function usageOf(pids: readonly number[]): Usage {
  if (process.platform !== 'linux') return { cpuMs: undefined, rssBytes: undefined, pssBytes: undefined };
  let cpuMs = 0;
  let rssBytes = 0;
  let pssBytes = 0;
  for (const pid of pids) {
    const stat = readOrUndefined(`/proc/${pid}/stat`);
    if (stat === undefined) continue;
    // The name, in parentheses, may hold anything; fields are counted from behind it. 14 and 15 are utime and stime.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    cpuMs += (Number(fields[11]) + Number(fields[12])) * 10;
    const memory = readOrUndefined(`/proc/${pid}/smaps_rollup`) ?? '';
    rssBytes += kibibytes(memory, 'Rss');
    pssBytes += kibibytes(memory, 'Pss');
  }
  return { cpuMs, rssBytes, pssBytes };
}

/** Share of all cores' time that a hypervisor took since boot, and all of it, in ticks: differences tell of a window. */
export function stealTicks(): { steal: number; total: number } | undefined {
  const line = readOrUndefined('/proc/stat')?.split('\n', 1)[0];
  if (line === undefined) return undefined;
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { steal: ticks[7] ?? 0, total: ticks.reduce((sum, value) => sum + value, 0) };
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
