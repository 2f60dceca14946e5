import type { Run } from '../results.js';
import { slope, type Slope } from './slope.js';

/** What another 1,000 good requests a second take. */
export interface MarginalCost {
  readonly memoryMib: Slope;
  readonly cpuCores: Slope;
  /** Searches that it was reckoned from. */
  readonly searches: number;
}

/**
 * The slope over the numbers of instances, each at the capacity that it was measured to have: a point is a search with fresh processes, of all blocks
 * together, and the interval is Student's of the slope. What an arm needs before its first request is no part of it.
 *
 * @returns undefined with fewer than three points
 */
export function marginalCost(runs: ReadonlyArray<Pick<Run, 'metrics'>>): MarginalCost | undefined {
  const points = runs.flatMap(({ metrics: { goodPerSecond, memoryBytes, cpuMsPer1000Good } }) =>
    goodPerSecond === undefined || memoryBytes === undefined || cpuMsPer1000Good === undefined
      ? []
      : [
          {
            thousands: goodPerSecond / 1000,
            memoryMib: memoryBytes / 2 ** 20,
            cpuCores: (goodPerSecond / 1000) * (cpuMsPer1000Good / 1000),
          },
        ],
  );
  const of = (what: 'memoryMib' | 'cpuCores') => slope(points.map((point) => [point.thousands, point[what]]));
  const [memoryMib, cpuCores] = [of('memoryMib'), of('cpuCores')];
  return memoryMib && cpuCores && { memoryMib, cpuCores, searches: points.length };
}
