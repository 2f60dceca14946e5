import { systemClock } from '@diptych/kernel';
import { Arm, ARMS, isAlive, type Part, pinned, type Profile, usageOf } from '@diptych/testing';
import type { RunningArm, StartArm } from './running-arm.js';
import type { ArmName, PartName } from './dependency-table.js';

/** The real arms: built code, plain processes on the system's cores, the broker among them. */
export function arms(profile: Profile): StartArm {
  return async (name) => {
    const spec = ARMS.find((arm) => arm.name === name)!;
    const startedMs = systemClock.nowMs();
    const arm = await Arm.start(spec, { launcher: (command, args) => pinned(profile.system, command, args) });
    const firstGoodReplyMs = await untilGoodReply(arm.url, startedMs);
    return asRunningArm(name, arm, firstGoodReplyMs);
  };
}

function asRunningArm(name: ArmName, arm: Arm, firstGoodReplyMs: number): RunningArm {
  const { processes, broker } = arm.spec;
  const pids = () => [...arm.pids, ...(broker ? [arm.broker.pid] : [])];
  // A part that was killed took its CPU time with it: what it had used is kept from just before.
  let goneCpuMs = 0;
  return {
    name,
    url: arm.url,
    firstGoodReplyMs,
    processes: processes.length + (broker ? 1 : 0),
    ports: processes.length + (broker ? 1 : 0),
    settings: broker ? processes.length : 0,
    usage() {
      const usage = usageOf(pids());
      return { ...usage, cpuMs: usage.cpuMs === undefined ? undefined : usage.cpuMs + goneCpuMs };
    },
    async kill(part) {
      if (part === 'nats') {
        await arm.broker.kill('SIGKILL');
        return `nats-server (${arm.broker.pid}) is gone`;
      }
      const process = arm.process(arm.holding(held(part)));
      goneCpuMs += usageOf([process.pid]).cpuMs ?? 0;
      await process.kill('SIGKILL');
      const { signal } = await process.exited;
      return signal === 'SIGKILL' && !isAlive(process.pid) ? `process ${process.pid} (${process.name}) ended by ${signal}` : '';
    },
    restart: (part) => (part === 'nats' ? arm.broker.restart() : arm.restart(held(part))),
    stop: () => arm[Symbol.asyncDispose](),
  };
}

/** Killing the monolith is killing the process that holds its log, and all else. */
function held(part: Exclude<PartName, 'nats'>): Part {
  return part === 'monolith' ? 'log' : part;
}

const FIRST_REPLY_TIMEOUT_MS = 30_000;

/** A write and its read: the first moment at which a user is served. */
async function untilGoodReply(url: string, startedMs: number): Promise<number> {
  for (;;) {
    const put = await fetch(`${url}/v1/keys/first`, { method: 'PUT', body: 'x' }).catch(() => undefined);
    const get = put?.ok ? await fetch(`${url}/v1/keys/first`).catch(() => undefined) : undefined;
    const elapsedMs = systemClock.nowMs() - startedMs;
    if (get?.status === 200) return elapsedMs;
    if (elapsedMs > FIRST_REPLY_TIMEOUT_MS) throw new Error(`no good reply from ${url} within ${FIRST_REPLY_TIMEOUT_MS} ms`);
  }
}
