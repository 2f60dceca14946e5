import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';

/**
 * The last resort: nothing a test started or made outlives its runner, not even when the runner is killed, which a hook on `exit` would not
 * notice (Vitest ends its workers so). A small process reads from a pipe what there is, and what is gone again. When the pipe ends, because
 * this process has, it kills and removes what is left.
 */
export function reapProcess(pid: number): Disposable {
  return register(`p ${pid}`);
}

/** @param path must hold no quote and no line break, or it is not reaped */
export function reapDir(path: string): Disposable {
  return /['"\n\\]/.test(path) ? { [Symbol.dispose]: () => undefined } : register(`d ${path}`);
}

function register(what: string): Disposable {
  tell(`+${what}`);
  return { [Symbol.dispose]: () => tell(`-${what}`) };
}

let reaper: ChildProcess | undefined;

function tell(line: string): void {
  reaper ??= start();
  reaper.stdin!.write(`${line}\n`);
}

function start(): ChildProcess {
  // Detached, so that an interrupt typed at the terminal ends the runner and not this.
  const child = spawn('awk', [PROGRAM], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  // Without awk there is no last resort; tests that clean up after themselves do not need one.
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}

const PROGRAM = `
  /^[+]p / { pids[substr($0, 4)] = 1 }
  /^-p /   { delete pids[substr($0, 4)] }
  /^[+]d / { dirs[substr($0, 4)] = 1 }
  /^-d /   { delete dirs[substr($0, 4)] }
  END {
    for (pid in pids) system("kill -KILL " pid " 2>/dev/null")
    for (dir in dirs) system("rm -rf -- '" dir "'")
  }`;
