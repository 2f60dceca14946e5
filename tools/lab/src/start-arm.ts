import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@diptych/kernel';
import { Arm, ARMS, cpuMsOf, isAlive, type Part, pinned, type ProcessExit, type Profile, usageOf } from '@diptych/testing';
import type { Injection, RunningArm, StartArm } from './running-arm.js';
import type { ArmName, PartName } from './dependency-table.js';

/** The real arms: built code, plain processes on the system's cores, the broker among them. */
export function arms(profile: Profile): StartArm {
  return async (name, signal) => {
    signal.throwIfAborted();
    const spec = ARMS.find((arm) => arm.name === name)!;
    const startedMs = systemClock.nowMs();
    const arm = await Arm.start(spec, { launcher: (command, args) => pinned(profile.system, command, args) });
    try {
      return asRunningArm(name, arm, await untilGoodReply(arm.url, startedMs, signal));
    } catch (error) {
      await arm[Symbol.asyncDispose]();
      throw error;
    }
  };
}

export type Startable = Pick<Arm, 'spec' | 'pids' | 'broker' | 'url' | 'process' | 'holding' | 'restart'> & {
  [Symbol.asyncDispose](): Promise<void>;
};

export function asRunningArm(name: ArmName, arm: Startable, firstGoodReplyMs: number): RunningArm {
  const { processes, broker } = arm.spec;
  const pids = () => [...arm.pids, ...(broker ? [arm.broker.pid] : [])];
  // A part that was killed took its CPU time with it: what it had used is kept from just before.
  let goneCpuMs = 0;
  const withGone = (cpuMs: number | undefined) => (cpuMs === undefined ? undefined : cpuMs + goneCpuMs);
  return {
    name,
    url: arm.url,
    firstGoodReplyMs,
    processes: processes.length + (broker ? 1 : 0),
    ports: processes.length + (broker ? 1 : 0),
    settings: broker ? processes.length : 0,
    usage: () => ({ ...usageOf(pids()), cpuMs: withGone(cpuMsOf(pids())) }),
    cpuMs: () => withGone(cpuMsOf(pids())),
    async kill(part) {
      const victim = part === 'nats' ? arm.broker : arm.process(arm.holding(held(part)));
      const cpuMs = cpuMsOf([victim.pid]) ?? 0;
      const injection = await killProvably(part === 'nats' ? 'nats-server' : arm.holding(held(part)), victim);
      if ('proof' in injection) goneCpuMs += cpuMs;
      return injection;
    },
    restart: (part) => (part === 'nats' ? arm.broker.restart() : arm.restart(held(part))),
    stop: () => arm[Symbol.asyncDispose](),
  };
}

/** Killing the monolith is killing the process that holds its log, and all else. */
function held(part: Exclude<PartName, 'nats'>): Part {
  return part === 'monolith' ? 'log' : part;
}

const PROOF_TIMEOUT_MS = 1_000;

export interface Victim {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

/**
 * Kills a process, and asks the operating system whether that is what ended it: it ran just before, it exited by that signal, and there is none by its id
 * any more.
 */
export async function killProvably(name: string, victim: Victim, signal: NodeJS.Signals = 'SIGKILL'): Promise<Injection> {
  const { pid, exited } = victim;
  if (!isAlive(pid)) return { whyNot: `${name} had ended by itself before it was killed` };
  await victim.kill(signal);
  for (const endMs = systemClock.nowMs() + PROOF_TIMEOUT_MS; isAlive(pid); await sleep(10))
    if (systemClock.nowMs() > endMs) return { whyNot: `${name} was killed and is still there` };
  const exit = await exited;
  if (exit.signal !== 'SIGKILL') return { whyNot: `${name} ended with ${exit.signal ?? `exit code ${exit.code}`}, not by being killed` };
  return { proof: `${name}: ended by SIGKILL, and the operating system knows no process ${pid} any more` };
}

/** From the start of the first process; for hangs only, as the bound on each start in `@diptych/testing` is. */
const FIRST_REPLY_TIMEOUT_MS = 240_000;

/** A write and its read: the first moment at which a user is served. */
export async function untilGoodReply(url: string, startedMs: number, signal: AbortSignal): Promise<number> {
  const path = `${url}/v1/keys/first`;
  for (;;) {
    const within = AbortSignal.any([signal, AbortSignal.timeout(2_000)]);
    const put = await fetch(path, { method: 'PUT', body: 'x', signal: within }).catch(() => undefined);
    const get = put?.ok ? await fetch(path, { signal: within }).catch(() => undefined) : undefined;
    const elapsedMs = systemClock.nowMs() - startedMs;
    if (get?.status === 200) return elapsedMs;
    signal.throwIfAborted();
    if (elapsedMs > FIRST_REPLY_TIMEOUT_MS) throw new Error(`no good reply from ${url} within ${FIRST_REPLY_TIMEOUT_MS} ms`);
    await sleep(5);
  }
}
