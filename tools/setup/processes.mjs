import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const windows = process.platform === 'win32';
/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** Ends the programs that `run` started, and resolves when they have ended: nobody may begin again what they are still undoing. */
export async function endRunning() {
  const children = [...running];
  for (const child of children) child.kill('SIGTERM');
  const impatient = setTimeout(() => children.forEach((child) => child.kill('SIGKILL')), 5000);
  await Promise.all(children.map((child) => new Promise((resolve) => child.once('close', resolve))));
  clearTimeout(impatient);
}

/**
 * Runs a helper program to its end and keeps the last of what it printed. It never rejects: a program that cannot be started has status 127.
 *
 * @param {string} program @param {string[]} args
 * @param {{ cwd?: string, timeoutMs?: number, onTick?: (seconds: number) => void }} [options] onTick is called every ten seconds
 * @returns {Promise<{ status: number, output: string }>}
 */
export function run(program, args, { cwd, timeoutMs, onTick } = {}) {
  return new Promise((resolve) => {
    const started = Date.now();
    let output = '';
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], shell: windows && !program.endsWith('.exe') });
    running.add(child);
    const ticking = setInterval(() => onTick?.(Math.round((Date.now() - started) / 1000)), 10_000);
    const timeout = timeoutMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    /** @param {Buffer} chunk */
    const keep = (chunk) => (output = (output + chunk.toString()).slice(-4000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    /** @param {number} status */
    const end = (status) => {
      running.delete(child);
      clearInterval(ticking);
      clearTimeout(timeout);
      resolve({ status, output: output.trim() });
    };
    child.on('error', (error) => ((output += error.message), end(127)));
    child.on('close', (code, signal) => end(code ?? exitCodeOf(signal)));
  });
}

/**
 * Runs the command proper: it sees the terminal, gets each signal exactly once, and when it has ended nothing that it started goes on.
 * It leads a process group of its own: a terminal signals npm, its shell and this process, and npm passes the same signal on again,
 * which programs such as Vitest take for "now, at once".
 *
 * @param {string} program @param {string[]} args @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{ status: number, stoppedBy?: NodeJS.Signals, leftovers: number }>} leftovers: processes it had not ended itself
 */
export async function runInForeground(program, args, env) {
  const child = spawn(program, args, { env, stdio: ['ignore', 'inherit', 'inherit'], detached: !windows, shell: windows });
  /** @type {NodeJS.Signals | undefined} */
  let stoppedBy;
  let passedOnAt = 0;
  /** @param {NodeJS.Signals} signal */
  const passOn = (signal) => {
    if (Date.now() - passedOnAt < 500) return;
    passedOnAt = Date.now();
    stoppedBy = signal;
    child.kill(signal);
  };
  /** @type {NodeJS.Signals[]} */
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, passOn);
  try {
    const status = await new Promise((/** @type {(status: number) => void} */ resolve) => {
      child.on('error', (error) => (process.stderr.write(`${program}: ${error.message}\n`), resolve(127)));
      child.on('exit', (code, signal) => resolve(code ?? exitCodeOf(signal)));
    });
    return { status, stoppedBy, leftovers: windows || child.pid === undefined ? 0 : await endGroup(child.pid) };
  } finally {
    for (const signal of signals) process.off(signal, passOn);
  }
}

/** Ends what is left of a process group. A process that is just exiting gets a second to do so by itself. @param {number} group */
async function endGroup(group) {
  const alive = () => {
    try {
      return process.kill(-group, 0);
    } catch {
      return false;
    }
  };
  /** @param {number} ms */
  const untilGone = async (ms) => {
    for (const end = Date.now() + ms; alive() && Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, 50));
    return !alive();
  };
  if (await untilGone(1000)) return 0;
  const { output } = await run('ps', ['-o', 'pid=,args=', '-g', String(group)]);
  const left = output.split('\n').filter((line) => line.trim() !== '');
  for (const line of left) process.stderr.write(`[setup] still running after the command had ended, so ended now: ${line.trim()}\n`);
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGKILL'])) {
    if (alive()) process.kill(-group, signal);
    if (await untilGone(5000)) break;
  }
  return Math.max(left.length, 1);
}

/** The exit status by which a shell reports a signal. @param {NodeJS.Signals | null | undefined} signal */
export function exitCodeOf(signal) {
  return signal ? 128 + constants.signals[signal] : 1;
}
