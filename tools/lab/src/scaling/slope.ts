export interface Slope {
  readonly estimate: number;
  /** Of 95 %. */
  readonly low: number;
  readonly high: number;
}

/** Least squares through points [x, y], with Student's interval of the slope. @returns undefined with fewer than three points, or all at one x */
export function slope(points: ReadonlyArray<readonly [number, number]>): Slope | undefined {
  const n = points.length;
  if (n < 3) return undefined;
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / n;
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  if (spread === 0) return undefined;
  const estimate = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - estimate * (x - meanX)) ** 2, 0);
  const half = student(n - 2) * Math.sqrt(rest / (n - 2) / spread);
  return { estimate, low: estimate - half, high: estimate + half };
}

/** The 97.5 % quantile of Student's t by degrees of freedom, from any printed table; between the rows the next lower one, which is wider. */
const QUANTILES = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086,
];

function student(degrees: number): number {
  return QUANTILES[Math.min(degrees, QUANTILES.length) - 1]!;
}
