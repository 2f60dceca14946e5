import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';

/** The programs that this one was started through. They are asked before anything is done, so that one that ends soon is missed too. */
const starters = whoStarted();
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
 * which programs such as Vitest take for "now, at once". Nor does npm tell of its own end: SIGTERM to npm ends its shell, and SIGKILL nobody else. So
 * this looks whether what it was started through is still there, and takes its end for a SIGTERM.
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
  /** @type {NodeJS.Timeout | undefined} */
  let impatient;
  const watching = setInterval(() => {
    if (stoppedBy !== undefined || !isAbandoned()) return;
    clearInterval(watching);
    passOn('SIGTERM');
    impatient = setTimeout(() => child.kill('SIGKILL'), ABANDONED_GRACE_MS);
  }, 250);
  try {
    const status = await new Promise((/** @type {(status: number) => void} */ resolve) => {
      child.on('error', (error) => (process.stderr.write(`${program}: ${error.message}\n`), resolve(127)));
      child.on('exit', (code, signal) => resolve(code ?? exitCodeOf(signal)));
    });
    return { status, stoppedBy, leftovers: windows || child.pid === undefined ? 0 : await endGroup(child.pid) };
  } finally {
    clearInterval(watching);
    clearTimeout(impatient);
    for (const signal of signals) process.off(signal, passOn);
  }
}

const ABANDONED_GRACE_MS = 30_000;

function isAbandoned() {
  return starters !== undefined && starters !== whoStarted();
}

/**
 * Started by npm: the process above, and the one above npm's shell; a shell that waits lives on when npm is killed. Otherwise undefined: somebody who starts
 * this by hand may well leave it running.
 */
function whoStarted() {
  if (process.platform === 'win32' || process.env.npm_lifecycle_event === undefined) return undefined;
  const { ppid } = process;
  try {
    const [, name = '', rest = ''] = /\((.*)\) (.*)/s.exec(readFileSync(`/proc/${ppid}/stat`, 'utf8')) ?? [];
    return /^(sh|dash|ash|bash|busybox|zsh)$/.test(name) ? `${ppid} ${rest.split(' ')[1]}` : `${ppid}`;
  } catch {
    return `${ppid}`; // not Linux, or it ended meanwhile
  }
}

/**
 * Ends what is left of a process group. A process that is just exiting gets a second to do so by itself.
 * @param {number} group @returns {Promise<number>} how many there were
 */
async function endGroup(group) {
  let left = await membersOf(group);
  /** @param {number} ms */
  const untilGone = async (ms) => {
    for (const end = Date.now() + ms; left.length > 0 && Date.now() < end; left = await membersOf(group))
      await new Promise((resolve) => setTimeout(resolve, 50));
    return left.length === 0;
  };
  if (await untilGone(1000)) return 0;
  const count = left.length;
  for (const { pid, name } of left)
    process.stderr.write(`[setup] still running after the command had ended, so ended now: ${name} (${pid})\n`);
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGKILL'])) {
    for (const { pid } of left) endQuietly(pid, signal);
    if (await untilGone(5000)) break;
  }
  return count;
}

/** Processes of a group that still run; one that has ended and waits for its parent to notice does not. @param {number} group */
async function membersOf(group) {
  if (process.platform === 'linux')
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => memberOf(group, pid));
  const { output } = await run('ps', ['-A', '-o', 'pid=,pgid=,stat=,comm=']);
  return output.split('\n').flatMap((line) => {
    const [pid, pgid, state = '', name = ''] = line.trim().split(/\s+/);
    return Number(pgid) === group && !state.startsWith('Z') ? [{ pid: Number(pid), name }] : [];
  });
}

/** @param {number} group @param {string} pid */
function memberOf(group, pid) {
  try {
    const [, name = '', rest = ''] = /\((.*)\) (.*)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    const [state, , pgrp] = rest.split(' ');
    return Number(pgrp) === group && state !== 'Z' ? [{ pid: Number(pid), name }] : [];
  } catch {
    return []; // it ended meanwhile
  }
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function endQuietly(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** The exit status by which a shell reports a signal. @param {NodeJS.Signals | null | undefined} signal */
export function exitCodeOf(signal) {
  return signal ? 128 + constants.signals[signal] : 1;
}
