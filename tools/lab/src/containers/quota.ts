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

/** An engine's own period, unless it is told another. */
const PERIOD_MS = 100;

/** A period, in which all that a period allows may be used at once, at both ends of what was looked at. */
const SLACK_MS = 2 * PERIOD_MS;

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

/** A sentence for each container of each arm: what it was allowed, and over all its runs what it took and how often it was held back. */
export function quotaFindings(quotas: ReadonlyArray<Quota & { readonly arm: string }>): string[] {
  return [...Map.groupBy(quotas, ({ arm, part }) => (arm === part ? arm : `${part} of the ${arm}`))].map(([name, runs]) => {
    const sum = (of: (quota: Quota) => number) => runs.reduce((total, quota) => total + of(quota), 0);
    const { cpus, memoryLimitBytes } = runs[0]!;
    const periods = sum(({ elapsedMs }) => elapsedMs) / PERIOD_MS;
    const held = sum(({ throttledPeriods }) => throttledPeriods);
    return `${name}: allowed ${cpus} of a core and ${Math.round(memoryLimitBytes / 2 ** 20)} MiB; took ${(sum(({ cpuMs }) => cpuMs) / sum(({ elapsedMs }) => elapsedMs)).toFixed(2)} of a core over ${runs.length} run(s), and was held back in ${held} of ${Math.round(periods)} periods of ${PERIOD_MS} ms (${((held / periods) * 100).toFixed(1)} %).`;
  });
}
