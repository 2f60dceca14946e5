import { GATES } from '../gates.js';
import type { Run } from '../results.js';
import { slope, type Slope } from './slope.js';

/** Those that were not disturbed; none, when more were than the gate may void: what is left would be what it chose. */
export function believed<Each extends Pick<Run, 'valid'>>(runs: readonly Each[]): Each[] {
  const valid = runs.filter((each) => each.valid);
  return runs.length - valid.length > runs.length * GATES.voidShareMax ? [] : valid;
}

/** What another 1,000 good requests a second take. */
export interface MarginalCost {
  readonly memoryMib: Slope;
  readonly cpuCores: Slope;
  /** Searches that it was reckoned from. */
  readonly searches: number;
}

/**
 * The slope over the numbers of instances, each at the capacity that it was measured to have: a point is a search with fresh processes, of all blocks
 * together, and the interval is Student's of the slope; of those that were not disturbed. What an arm needs before its first request is no part of it.
 *
 * @returns undefined with fewer than three points, or too many disturbed
 */
export function marginalCost(runs: ReadonlyArray<Pick<Run, 'metrics' | 'valid'>>): MarginalCost | undefined {
  const points = believed(runs).flatMap(({ metrics: { goodPerSecond, memoryBytes, cpuMsPer1000Good } }) =>
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
