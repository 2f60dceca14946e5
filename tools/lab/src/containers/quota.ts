import type { PartName } from '../dependency-table.js';
import type { Account, ContainerState } from './engine.js';

/** What a container was allowed and what it took, over one run. */
export interface Quota {
  readonly part: PartName;
  readonly cpus: number;
  readonly cpuMs: number;
  readonly elapsedMs: number;
  readonly throttledPeriods: number;
  readonly throttledMs: number;
  readonly memoryLimitBytes: number;
  /** There was a quota, and no more was used than it allows. */
  readonly kept: boolean;
}

/** A period of 100 ms, in which all that a period allows may be used at once, at both ends of what was looked at. */
const SLACK_MS = 200;

export function quotaOf(
  part: PartName,
  { cpus, memoryLimitBytes }: Pick<ContainerState, 'cpus' | 'memoryLimitBytes'>,
  { from, to, elapsedMs }: { from: Account; to: Account; elapsedMs: number },
): Quota {
  const cpuMs = to.cpuMs - from.cpuMs;
  return {
    part,
    cpus,
    cpuMs,
    elapsedMs,
    throttledPeriods: to.throttledPeriods - from.throttledPeriods,
    throttledMs: to.throttledMs - from.throttledMs,
    memoryLimitBytes,
    kept: cpus > 0 && memoryLimitBytes > 0 && cpuMs <= cpus * (elapsedMs + SLACK_MS),
  };
}
