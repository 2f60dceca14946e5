import { systemClock } from '@diptych/kernel';
import { coreTimes, cpuMsOfOwnAndEnded, type CoreTimes } from '@diptych/testing';
import type { LoadResult } from './load/summary.js';
import type { VoidBlock } from './results.js';
import { median } from './statistics/wilcoxon.js';

/** Bounds beyond which a block is not believed. */
export const GATES = {
  latenessP99MsMax: 10,
  sentShareMin: 0.995,
  generatorCpuShareMax: 0.8,
  stealShareMax: 0.05,
  /** Of the cores' time, by programs that are none of the lab's; the kernel's own work for our disk writes is among it. */
  othersShareMax: 0.1,
  calibrationOffMax: 0.15,
  /** More voids than this and the gate itself would choose what is seen. */
  voidShareMax: 0.3,
} as const;

/**
 * Reasons not to believe a block. They are all about the instruments and the machine, never about the system under test: a slow *system* voids
 * nothing.
 */
export function generatorGate(
  load: Pick<LoadResult, 'generator'>,
  { latenessP99MsMax, sentShareMin }: { readonly latenessP99MsMax: number; readonly sentShareMin: number } = GATES,
): string | undefined {
  const { latenessMs, sentOnScheduleShare, cpuShare } = load.generator;
  if (latenessMs.p99 > latenessP99MsMax) return `generator late: p99 ${latenessMs.p99.toFixed(1)} ms, bound ${latenessP99MsMax} ms`;
  if (sentOnScheduleShare < sentShareMin)
    return `only ${(sentOnScheduleShare * 100).toFixed(2)} % sent on schedule, bound ${sentShareMin * 100} %`;
  if (cpuShare > GATES.generatorCpuShareMax)
    return `generator used ${(cpuShare * 100).toFixed(0)} % of its core, bound ${GATES.generatorCpuShareMax * 100} %`;
  return undefined;
}

/**
 * Whether the gate itself has become what decides: more than 30 % of the blocks void, or two and more of them for reasons that are mostly one arm's.
 *
 * @param blocks how many were run, the void ones included
 * @param arms how many different arms there are: with one, none can be favoured
 * @returns why nothing may be compared, if so
 */
export function refusal(voids: readonly VoidBlock[], blocks: number, arms: number): string | undefined {
  const voided = new Set(voids.map(({ block }) => block)).size;
  if (voided > blocks * GATES.voidShareMax)
    return `${voided} of ${blocks} blocks are void, and more than ${GATES.voidShareMax * 100} % may not be`;
  if (arms < 2) return undefined;
  for (const arm of new Set(voids.map((each) => each.arm))) {
    const ofArm = new Set(voids.filter((each) => each.arm === arm).map(({ block }) => block)).size;
    if (arm !== 'machine' && ofArm >= 2 && ofArm > voided / 2)
      return `${ofArm} of ${voided} void blocks are void because of the ${arm} alone`;
  }
  return undefined;
}

/** What the gate looks at. */
export interface MachineSigns {
  /** Milliseconds of a fixed job. */
  calibrate(): number;
  cores(): CoreTimes | undefined;
  /** CPU time of the lab and of all it started that has ended. */
  ownMs(): number | undefined;
}

/** Watches the machine over a block: CPU time taken by a hypervisor or by other programs, and a fixed job that should take as long as ever. */
export class MachineGate {
  readonly #signs: MachineSigns;
  /** The first three are taken before anything runs, so that even the first block has something to be held against. */
  readonly #calibrationsMs: number[];
  #before: { cores: CoreTimes | undefined; ownMs: number | undefined } = { cores: undefined, ownMs: undefined };

  /** @param signs in place of those of this machine */
  constructor(signs: Partial<MachineSigns> = {}) {
    this.#signs = { ...REAL_SIGNS, ...signs };
    this.#signs.calibrate(); // compiles it
    this.#calibrationsMs = Array.from({ length: 3 }, () => this.#signs.calibrate());
  }

  /** Call before a block, with nothing of the lab's running. */
  begin(): void {
    this.#before = { cores: this.#signs.cores(), ownMs: this.#signs.ownMs() };
  }

  /**
   * Call after a block, when all that it started has ended.
   *
   * @param stealJudged false when its parts were judged for stolen time, each by itself
   * @returns the reason to void it, if there is one
   */
  end({ stealJudged = true } = {}): string | undefined {
    const disturbed = this.#disturbed(stealJudged);
    const jobMs = this.#signs.calibrate();
    const usual = median(this.#calibrationsMs);
    this.#calibrationsMs.push(jobMs);
    if (disturbed !== undefined) return disturbed;
    if (Math.abs(jobMs / usual - 1) > GATES.calibrationOffMax)
      return `a fixed job took ${jobMs.toFixed(1)} ms instead of ${usual.toFixed(1)} ms`;
    return undefined;
  }

  #disturbed(stealJudged: boolean): string | undefined {
    const { cores: before, ownMs: ownBefore } = this.#before;
    const [after, ownAfter] = [this.#signs.cores(), this.#signs.ownMs()];
    if (!before || !after || ownBefore === undefined || ownAfter === undefined) return undefined;
    const totalMs = Math.max(1, after.totalMs - before.totalMs);
    const steal = stealJudged ? stolen(before, after) : undefined;
    if (steal !== undefined) return steal;
    const others = (after.busyMs - before.busyMs - (ownAfter - ownBefore)) / totalMs;
    if (others > GATES.othersShareMax)
      return `other programs used ${(others * 100).toFixed(0)} % of the cores, bound ${GATES.othersShareMax * 100} %`;
    return undefined;
  }
}

/** @returns what of the time of all cores a hypervisor took away between two looks, in words, if that was too much */
export function stolen(before: CoreTimes, after: CoreTimes): string | undefined {
  const share = (after.stealMs - before.stealMs) / Math.max(1, after.totalMs - before.totalMs);
  return share > GATES.stealShareMax ? `${(share * 100).toFixed(1)} % of CPU time stolen, bound ${GATES.stealShareMax * 100} %` : undefined;
}

const REAL_SIGNS: MachineSigns = { calibrate, cores: coreTimes, ownMs: cpuMsOfOwnAndEnded };

/** Milliseconds of a fixed, CPU-bound job: the median of eleven, so that one preemption does not count. */
function calibrate(): number {
  const times: number[] = [];
  for (let round = 0; round < 11; round++) {
    const startMs = systemClock.nowMs();
    let sum = 0;
    for (let i = 0; i < 2_000_000; i++) sum = (sum * 31 + i) | 0;
    times.push(systemClock.nowMs() - startMs + (sum === 42 ? 1 : 0));
  }
  return median(times);
}
