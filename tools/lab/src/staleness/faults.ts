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

export interface Plan {
  readonly victim: string;
  readonly wire: FaultPoint;
  /** How long everything takes, of what `TIMELINE` says; it takes longer where a machine is too busy for its proof. */
  readonly scale: number;
  /** Whether a cut has shown what there is to see; if not, there is another, a few times. */
  readonly hasShown: () => boolean;
}

/**
 * One cache after the other trouble: its process stands still (SIGSTOP), its wire to the broker lets nothing through and tells nobody, its
 * connection is reset, and so is each new one; and after each it is given back.
 */
export async function playFaults(arm: Arm, { victim, wire, scale, hasShown }: Plan, signal: AbortSignal): Promise<Played> {
  const phases: Phase[] = [];
  const proofs: string[] = [];
  const unproven: string[] = [];
  /** Lasts until what it is to do can be proven, though not for ever. */
  const phase = async (name: string, seconds: number, what?: string, isProven: () => Promise<boolean> | boolean = () => true) => {
    const startMs = systemClock.nowMs();
    await sleep(seconds * scale * 1_000, undefined, { signal });
    let proven = await isProven();
    for (; !proven && systemClock.nowMs() < startMs + PROOF_MS_MAX; proven = await isProven()) await sleep(50, undefined, { signal });
    phases.push({ name, startMs, endMs: systemClock.nowMs() });
    if (what !== undefined) (proven ? proofs : unproven).push(`${victim}: ${what}`);
  };
  const { pid } = arm.process(victim);

  await phase('calm', TIMELINE.calm);
  try {
    await arm.process(victim).kill('SIGSTOP');
    await phase('paused', TIMELINE.paused, 'the operating system called it stopped', () => stateOf(pid) === 'T');
  } finally {
    await arm.process(victim).kill('SIGCONT');
  }
  await phase('back from the pause', TIMELINE.after, 'the operating system calls it stopped no more', () => {
    const state = stateOf(pid);
    return state !== undefined && state !== 'T';
  });

  for (let cuts = 0; cuts === 0 || (cuts < CUTS_MAX && !hasShown()); cuts++) {
    await wire.setFaults(PARTITION);
    await phase('cut off', TIMELINE.cutOff, 'it and the broker sent something, and no byte passed the wire between them', async () =>
      isCut(await wire.tally()),
    );
    await wire.setFaults({});
    await phase('back from the cut', TIMELINE.after, 'what both send passes the wire again', async () => isOpen(await wire.tally()));
  }

  await wire.setFaults({ connect: 'reset' });
  await wire.reset();
  await phase('reset', TIMELINE.reset, 'its connection was reset, and so was each that it tried to make', async () =>
    isTurnedAway(await wire.tally()),
  );
  await wire.setFaults({});
  await phase('back from the reset', TIMELINE.after, 'it has connected anew, and what both send passes the wire', async () => {
    const tally = await wire.tally();
    return tally.accepted > 0 && isOpen(tally);
  });
  return { phases, proofs, unproven };
}

const PROOF_MS_MAX = 60_000;
const CUTS_MAX = 5;

/** Each side sent something since the wire was cut, and none of it came out. What one sends alone may be asking whether the other is there. */
export function isCut({ toUpstream, toClient }: Tally): boolean {
  return [toUpstream, toClient].every(({ bytesIn, bytesOut }) => bytesIn > 0 && bytesOut === 0);
}

/** Each side sent something since the wire was mended, and nothing lies on it. That what had lain there came out is no proof: it would at once. */
export function isOpen({ toUpstream, toClient }: Tally): boolean {
  return [toUpstream, toClient].every(({ bytesIn, bytesOut, heldBytes }) => bytesIn > 0 && bytesOut > 0 && heldBytes === 0);
}

/** There was a connection, there is none, and it was tried to make one. */
export function isTurnedAway({ reset, turnedAway, accepted, open }: Tally): boolean {
  return reset > 0 && turnedAway > 0 && accepted === 0 && open === 0;
}

/** `T`: stopped. Undefined where the system does not say; proc(5). */
function stateOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.charAt(stat.lastIndexOf(')') + 2);
  } catch {
    return undefined;
  }
}
