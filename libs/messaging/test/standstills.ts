import { systemClock } from '@diptych/kernel';

/**
 * Writes `stood still for 912 ms` whenever this process has not run for half a second: because it was stopped, because its loop was blocked, or because
 * others had the processors. Who left it out meanwhile was right.
 */
export function tellStandstills(): Disposable {
  let ranMs = systemClock.nowMs();
  return systemClock.every(LOOK_MS, () => {
    const nowMs = systemClock.nowMs();
    if (nowMs - ranMs > STANDSTILL_MS) console.log(`stood still for ${Math.round(nowMs - ranMs)} ms`);
    ranMs = nowMs;
  });
}

/** Of what a process has written. */
export const standstillsIn = (output: string): number => [...output.matchAll(/^stood still/gm)].length;

const LOOK_MS = 20;
/** A beat is missed after 0.3 s at the earliest, and its sender out 0.6 s later. */
const STANDSTILL_MS = 500;
