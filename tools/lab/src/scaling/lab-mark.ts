import { readFileSync, readlinkSync } from 'node:fs';

/**
 * What a lab puts into the names of what outlives it when it is killed: this boot of the machine, the namespace of its process' number, its process, and the moment that began, in ticks since the boot. No other process of the
 * machine ever has the same.
 */
export interface LabMark {
  readonly boot: string;
  readonly namespace: string;
  readonly pid: number;
  readonly began: string;
}

/** The moment a process began. @throws Error when it cannot be read */
function beganOf(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in parentheses, may hold anything; the 22nd field is counted from behind it.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** Of this process. */
export function ownMark(): LabMark {
  return {
    boot: told(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8)) ?? UNKNOWN_BOOT,
    namespace: told(() => /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0]) ?? UNKNOWN_NAMESPACE,
    pid: process.pid,
    began: told(() => beganOf(process.pid)) ?? '0',
  };
}

/** As it stands in a name: hexadecimal digits and hyphens. */
export function written({ boot, namespace, pid, began }: LabMark): string {
  return `${boot}-${namespace}-${pid}-${began}`;
}

/** Of a name that begins with `prefix` and a mark; undefined: it does not. */
export function markIn(name: string, prefix: string): LabMark | undefined {
  const [, boot, namespace, pid, began] =
    /^([0-9a-f]{8})-(\d+)-(\d+)-(\d+)(?:-|$)/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : '') ?? [];
  return boot === undefined || namespace === undefined || began === undefined ? undefined : { boot, namespace, pid: Number(pid), began };
}

/** Whether that lab has ended for certain, however it did: what cannot be known, as of another namespace, lives. */
export function isDead({ boot, namespace, pid, began }: LabMark, own: LabMark = ownMark()): boolean {
  if (namespace !== own.namespace || namespace === UNKNOWN_NAMESPACE || own.boot === UNKNOWN_BOOT) return false;
  return boot !== own.boot || isGone(pid, began);
}

function isGone(pid: number, began: string): boolean {
  const begun = told(() => beganOf(pid));
  if (begun !== undefined) return begun !== began;
  // It is not there, or not shown: who may be told of, but not sent a signal, lives.
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

const UNKNOWN_BOOT = '00000000';
const UNKNOWN_NAMESPACE = '0';

/** Undefined: it cannot be read. */
function told(read: () => string | undefined): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** For whoever runs the next lab. */
export function leftBehind(what: string, error: unknown): string {
  return `${what} of a lab that was killed is left: ${error instanceof Error ? error.message : String(error)}`;
}
