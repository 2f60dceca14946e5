/**
 * When a warm-up may end: three windows in a row agree in median latency and in CPU time a good request. The same least time for all
 * arms, and a cap, after which the run is measured all the same and marked "not steady".
 *
 * A thorough run has windows of 5 s that agree within 5 %. The quick one has to be over in five minutes, so its windows last a fifth of that; the
 * noise of a window grows as the root of what it is shortened by, and the 5 % with it.
 */
export const STEADY = { windowSeconds: 1, windows: 3, tolerance: 0.05 * Math.sqrt(5), capSeconds: 4 } as const;

export interface WarmUpWindow {
  readonly p50Ms: number;
  /** Undefined where the system does not tell of CPU time: latency alone decides then. */
  readonly cpuMsPer1000Good: number | undefined;
}

export function isSteady(windows: readonly WarmUpWindow[]): boolean {
  const last = windows.slice(-STEADY.windows);
  const cpu = last.flatMap(({ cpuMsPer1000Good }) => (cpuMsPer1000Good === undefined ? [] : [cpuMsPer1000Good]));
  return last.length === STEADY.windows && agree(last.map(({ p50Ms }) => p50Ms)) && (cpu.length === 0 || agree(cpu));
}

function agree(values: readonly number[]): boolean {
  return Math.max(...values) <= Math.min(...values) * (1 + STEADY.tolerance);
}
