import { systemClock } from '@diptych/kernel';
import { stealTicks } from '@diptych/testing';
import type { LoadResult } from './load/summary.js';
import { median } from './statistics/wilcoxon.js';

/**
 * Reasons not to believe a block. They are all about the instruments and the machine, never about the system under test: a slow *system* voids
 * nothing.
 */
export function generatorGate(load: LoadResult): string | undefined {
  const { latenessMs, sentOnScheduleShare, cpuShare } = load.generator;
  if (latenessMs.p99 > LATENESS_P99_MS_MAX) return `generator late: p99 ${latenessMs.p99.toFixed(1)} ms, bound ${LATENESS_P99_MS_MAX} ms`;
  if (sentOnScheduleShare < SENT_SHARE_MIN && load.outcomes.unsent === 0)
    return `only ${(sentOnScheduleShare * 100).toFixed(2)} % sent on schedule, bound ${SENT_SHARE_MIN * 100} %`;
  if (cpuShare > CPU_SHARE_MAX) return `generator used ${(cpuShare * 100).toFixed(0)} % of its core, bound ${CPU_SHARE_MAX * 100} %`;
  return undefined;
}

const LATENESS_P99_MS_MAX = 10;
const SENT_SHARE_MIN = 0.995;
const CPU_SHARE_MAX = 0.8;
const STEAL_SHARE_MAX = 0.05;
const CALIBRATION_OFF_MAX = 0.15;

/** Watches the machine over a block: CPU time taken by a hypervisor, and a fixed job that should take as long as ever. */
export class MachineGate {
  readonly #calibrationsMs: number[] = [];
  #before: ReturnType<typeof stealTicks>;

  /** Call before a block. */
  begin(): void {
    this.#before = stealTicks();
  }

  /** Call after a block. @returns the reason to void it, if there is one */
  end(): string | undefined {
    const after = stealTicks();
    if (this.#before && after) {
      const share = (after.steal - this.#before.steal) / Math.max(1, after.total - this.#before.total);
      if (share > STEAL_SHARE_MAX) return `${(share * 100).toFixed(1)} % of CPU time stolen, bound ${STEAL_SHARE_MAX * 100} %`;
    }
    const jobMs = calibrate();
    this.#calibrationsMs.push(jobMs);
    const usual = median(this.#calibrationsMs);
    if (jobMs > usual * (1 + CALIBRATION_OFF_MAX)) return `a fixed job took ${jobMs.toFixed(1)} ms instead of ${usual.toFixed(1)} ms`;
    return undefined;
  }
}

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
