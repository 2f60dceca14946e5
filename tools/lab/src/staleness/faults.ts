import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@diptych/kernel';
import { PARTITION, type FaultPoint, type Tally } from '@diptych/fault-proxy';
import type { Arm } from '@diptych/testing';

/** A stretch of a run, by the observer's clock. */
export interface Phase {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** Whether each fault was really there: what the operating system or the wire says of it. */
export interface Played {
  readonly phases: readonly Phase[];
  readonly proofs: readonly string[];
  readonly unproven: readonly string[];
}

/** In seconds. Longer than a cache may be stale, so that its bound is reached. */
export const TIMELINE = { calm: 4, paused: 3, cutOff: 4, reset: 2, after: 3 } as const;
export const TIMELINE_SECONDS = TIMELINE.calm + TIMELINE.paused + TIMELINE.cutOff + TIMELINE.reset + 3 * TIMELINE.after;

/**
 * One cache after the other trouble: its process stands still (SIGSTOP), its wire to the broker lets nothing through and tells nobody, its
 * connection is reset, and so is each new one; and after each it is given back.
 */
export async function playFaults(arm: Arm, { victim, wire }: { victim: string; wire: FaultPoint }, signal: AbortSignal): Promise<Played> {
  const phases: Phase[] = [];
  const proofs: string[] = [];
  const unproven: string[] = [];
  const prove = (isProven: boolean, what: string) => (isProven ? proofs : unproven).push(what);
  const phase = async (name: string, seconds: number) => {
    const startMs = systemClock.nowMs();
    await sleep(seconds * 1_000, undefined, { signal });
    phases.push({ name, startMs, endMs: systemClock.nowMs() });
  };
  const { pid } = arm.process(victim);

  await phase('calm', TIMELINE.calm);
  try {
    await arm.process(victim).kill('SIGSTOP');
    await phase('paused', TIMELINE.paused);
    prove(stateOf(pid) === 'T', `${victim}: the operating system called it stopped at the end of its pause`);
  } finally {
    await arm.process(victim).kill('SIGCONT');
  }
  await phase('back from the pause', TIMELINE.after);

  await wire.setFaults(PARTITION);
  await phase('cut off', TIMELINE.cutOff);
  const held = await wire.tally();
  prove(passedBytes(held) === 0 && heldBytes(held) > 0, `${victim}: no byte passed its wire to the broker, and some were held`);
  await wire.setFaults({});
  await phase('back from the cut', TIMELINE.after);
  prove(passedBytes(await wire.tally()) > 0, `${victim}: bytes pass its wire again`);

  await wire.setFaults({ connect: 'reset' });
  await wire.reset();
  await phase('reset', TIMELINE.reset);
  const { reset, accepted, open } = await wire.tally();
  prove(reset > 0 && accepted === 0 && open === 0, `${victim}: its connection was reset, and none was made`);
  await wire.setFaults({});
  await phase('back from the reset', TIMELINE.after);
  prove((await wire.tally()).accepted > 0, `${victim}: it has connected anew`);
  return { phases, proofs, unproven };
}

const passedBytes = ({ toUpstream, toClient }: Tally) => toUpstream.bytesOut + toClient.bytesOut;
const heldBytes = ({ toUpstream, toClient }: Tally) => toUpstream.heldBytes + toClient.heldBytes;

/** `T`: stopped. Undefined where the system does not say; proc(5). */
function stateOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.charAt(stat.lastIndexOf(')') + 2);
  } catch {
    return undefined;
  }
}
