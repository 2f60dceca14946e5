/** How well supply followed demand, by the second, in the terms of SPEC RG's elasticity metrics (Herbst et al., *Ready for Rain?*, 2016), as the method has them. */
export interface Elasticity {
  /** Mean share of the demand that was not supplied, in percent. */
  readonly underPercent: number;
  /** Mean share, of the demand, that was supplied beyond it, in percent. */
  readonly overPercent: number;
  readonly timeUnderPercent: number;
  readonly timeOverPercent: number;
  /** Changes of supply beyond those of demand, a minute; negative: it followed less often than demand changed. */
  readonly jitterPerMinute: number;
  /** Share of the time in which supply and demand moved in opposite directions, in percent. */
  readonly instabilityPercent: number;
  readonly instanceSeconds: number;
}

/** Moves are looked at over so many seconds: within one, hardly two curves ever move together. */
const MOVE_SECONDS = 5;

/** @param demand the fewest instances that would meet the objective, by second; @param supply those there were */
export function elasticityOf(demand: readonly number[], supply: readonly number[]): Elasticity {
  const seconds = demand.length;
  const share = (of: (d: number, s: number) => number) => (100 / seconds) * demand.reduce((sum, d, i) => sum + of(d, supply[i]!), 0);
  const changes = (curve: readonly number[]) => curve.filter((value, i) => i > 0 && value !== curve[i - 1]).length;
  const move = (curve: readonly number[], i: number) => Math.sign(curve[i]! - curve[i - MOVE_SECONDS]!);
  const opposite = demand.filter((_, i) => i >= MOVE_SECONDS && move(demand, i) * move(supply, i) < 0).length;
  return {
    underPercent: share((d, s) => Math.max(d - s, 0) / d),
    overPercent: share((d, s) => Math.max(s - d, 0) / d),
    timeUnderPercent: share((d, s) => Number(s < d)),
    timeOverPercent: share((d, s) => Number(s > d)),
    jitterPerMinute: ((changes(supply) - changes(demand)) / seconds) * 60,
    instabilityPercent: (100 / Math.max(1, seconds - MOVE_SECONDS)) * opposite,
    instanceSeconds: supply.reduce((sum, each) => sum + each, 0),
  };
}

/** A count that changes at moments, as one value a second: the one that holds at its middle. @param from wall clock of second 0 */
export function bySecond(
  changes: ReadonlyArray<{ readonly wallMs: number; readonly instances: number }>,
  fromWallMs: number,
  seconds: number,
): number[] {
  return Array.from({ length: seconds }, (_, second) => {
    const atMs = fromWallMs + (second + 0.5) * 1000;
    return changes.findLast(({ wallMs }) => wallMs <= atMs)?.instances ?? changes[0]?.instances ?? 0;
  });
}

/**
 * How long after a decision to scale out the objective was met again, of decisions in whose second it was missed: seconds to the first of three in a row that
 * meet it. Undefined: it was not missed then. Infinite: it was not met again before the end.
 */
export function secondsToObjective(goodShares: readonly number[], decidedSecond: number, goodShareMin: number): number | undefined {
  const begin = Math.floor(decidedSecond);
  const isMissed = goodShares.slice(Math.max(0, begin - 1), begin + 2).some((share) => share < goodShareMin);
  if (!isMissed) return undefined;
  for (let at = begin + 1; at + GOOD_SECONDS <= goodShares.length; at++)
    if (goodShares.slice(at, at + GOOD_SECONDS).every((share) => share >= goodShareMin)) return at - decidedSecond;
  return Number.POSITIVE_INFINITY;
}

const GOOD_SECONDS = 3;
