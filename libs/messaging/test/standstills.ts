import { systemClock } from '@diptych/kernel';

/** From when until when, on the clock that all processes of the machine share. */
export interface Span {
  readonly beginMs: number;
  readonly endMs: number;
}

/** The instant on that clock at which it is `ms` on the clock of this process. */
export const sharedMs = (ms: number): number => Number(process.hrtime.bigint()) / 1e6 - systemClock.nowMs() + ms;

/**
 * Writes `stood still from 1200 to 2112 ms` whenever this process has not run for half a second: because it was stopped, because its loop was blocked, or
 * because others had the processors. Who left it out meanwhile was right.
 */
export function tellStandstills(): Disposable {
  let ranMs = systemClock.nowMs();
  return systemClock.every(LOOK_MS, () => {
    const nowMs = systemClock.nowMs();
    if (nowMs - ranMs > STANDSTILL_MS) console.log(`stood still from ${sharedMs(ranMs)} to ${sharedMs(nowMs)} ms`);
    ranMs = nowMs;
  });
}

/** Of what a process has written. */
export const standstillsIn = (output: string): Span[] =>
  Array.from(output.matchAll(/^stood still from ([\d.]+) to ([\d.]+) ms$/gm), ([, begin, end]) => ({
    beginMs: Number(begin),
    endMs: Number(end),
  }));

const LOOK_MS = 20;
/** A beat is missed after 0.3 s at the earliest, and its sender out 0.6 s later. */
const STANDSTILL_MS = 500;
