import { readFileSync } from 'node:fs';

/**
 * What a lab puts into the names of what outlives it when it is killed: this boot of the machine, its process, and the moment that began, in ticks since the boot. No other process of the
 * machine ever has the same.
 */
export interface LabMark {
  readonly boot: string;
  readonly pid: number;
  readonly began: string;
}

/** The moment a process began; undefined: there is none. */
function beganOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything; the 22nd field is counted from behind it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Of this process. */
export function ownMark(): LabMark {
  return { boot: bootOf(), pid: process.pid, began: beganOf(process.pid) ?? '0' };
}

/** As it stands in a name: hexadecimal digits and hyphens. */
export function written({ boot, pid, began }: LabMark): string {
  return `${boot}-${pid}-${began}`;
}

/** Of a name that begins with `prefix` and a mark; undefined: it does not. */
export function markIn(name: string, prefix: string): LabMark | undefined {
  const [, boot, pid, began] = /^([0-9a-f]{8})-(\d+)-(\d+)(?:-|$)/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : '') ?? [];
  return boot === undefined || began === undefined ? undefined : { boot, pid: Number(pid), began };
}

/** Whether that lab has ended, however it did. */
export function isDead({ boot, pid, began }: LabMark, own: LabMark = ownMark()): boolean {
  return boot !== own.boot || beganOf(pid) !== began;
}

function bootOf(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
  } catch {
    return '00000000';
  }
}
