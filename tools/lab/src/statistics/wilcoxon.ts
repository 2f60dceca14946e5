/**
 * Paired comparisons by the Hodges–Lehmann estimate with the exact interval of Wilcoxon's signed-rank test (Hollander and
 * Wolfe, *Nonparametric Statistical Methods*, sections 3.1 to 3.3). No assumption about the shape of the noise beyond
 * symmetry of the differences; a single wild block moves the estimate little.
 */
export interface PairedEstimate {
  readonly n: number;
  /** The median of all pairwise means of the differences. */
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
  /** What the interval really covers: the smallest possible level at or above the wanted one. */
  readonly coverage: number;
  /** Exact, two-sided. Ties and zeros are kept with their mid-ranks and their probability computed by enumeration of ranks. */
  readonly pValue: number;
}

/**
 * @param differences one number a block; order does not matter
 * @returns undefined when so few blocks cannot carry the wanted coverage (fewer than 6 at 95 %)
 */
export function pairedEstimate(differences: readonly number[], wantedCoverage = 0.95): PairedEstimate | undefined {
  const n = differences.length;
  if (differences.some((difference) => !Number.isFinite(difference))) throw new RangeError('differences must be finite');
  const tail = (1 - wantedCoverage) / 2;
  const lower = signedRankLowerTail(n);
  // The largest k with P(T+ <= k - 1) <= tail; Walsh averages number k from either end are the bounds.
  let k = 0;
  while (k < lower.length && lower[k]! <= tail) k++;
  if (k === 0) return undefined;
  const walsh = walshAverages(differences);
  return {
    n,
    estimate: medianOfSorted(walsh),
    low: walsh[k - 1]!,
    high: walsh[walsh.length - k]!,
    coverage: 1 - 2 * lower[k - 1]!,
    pValue: signedRankP(differences),
  };
}

/** `result[t]` = P(T+ <= t) under no difference, for n untied blocks: counts of subsets of ranks by their sum. */
export function signedRankLowerTail(n: number): Float64Array {
  const tail = subsetSumProbabilities(Array.from({ length: n }, (_, i) => i + 1));
  for (let t = 1; t < tail.length; t++) tail[t]! += tail[t - 1]!;
  return tail;
}

/** Exact two-sided p of the signed-rank test, ties by mid-ranks, zeros dropped (Wilcoxon's own way). */
export function signedRankP(differences: readonly number[]): number {
  const nonZero = differences.filter((difference) => difference !== 0);
  if (nonZero.length === 0) return 1;
  // Mid-ranks are halves: doubled, they are whole and the sums can be counted.
  const doubled = midRanks(nonZero.map(Math.abs)).map((rank) => Math.round(rank * 2));
  const observed = doubled.reduce((sum, rank, i) => (nonZero[i]! > 0 ? sum + rank : sum), 0);
  const total = doubled.reduce((sum, rank) => sum + rank, 0);
  const probabilities = subsetSumProbabilities(doubled);
  const extreme = Math.min(observed, total - observed);
  let p = 0;
  for (let sum = 0; sum <= extreme; sum++) p += probabilities[sum]!;
  return Math.min(1, 2 * p);
}

function walshAverages(values: readonly number[]): number[] {
  const averages: number[] = [];
  for (let i = 0; i < values.length; i++) for (let j = i; j < values.length; j++) averages.push((values[i]! + values[j]!) / 2);
  return averages.sort((a, b) => a - b);
}

export function median(values: readonly number[]): number {
  return medianOfSorted([...values].sort((a, b) => a - b));
}

function medianOfSorted(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function midRanks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Array<number>(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) ranks[order[i]!] = (start + 1 + end) / 2;
    start = end;
  }
  return ranks;
}

/** The chance of each sum when every weight is taken or left by a fair coin. */
function subsetSumProbabilities(weights: readonly number[]): Float64Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let ways = new Float64Array(total + 1);
  ways[0] = 1;
  for (const weight of weights) {
    const next = new Float64Array(total + 1);
    for (let sum = 0; sum <= total; sum++) next[sum] = ways[sum]! / 2 + (sum >= weight ? ways[sum - weight]! / 2 : 0);
    ways = next;
  }
  return ways;
}
