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

/** Seconds in which the objective was missed: from the first of them to three in a row that meet it. */
export interface Overload {
  readonly fromSecond: number;
  /** The first of those three; null: not before the end. */
  readonly toSecond: number | null;
  /** When it was first decided to scale out, at most a second before it began; undefined: never. */
  readonly decidedSecond: number | undefined;
  /** From that decision to the objective, while as much was asked for as when it was made; null: it was not met again before less was asked for, or the end. */
  readonly backSeconds: number | null | undefined;
}

/**
 * @param goodShares by second
 * @param rates asked for, by second
 * @param outs when it was decided to scale out, in seconds
 */
export function overloadsOf(
  goodShares: readonly number[],
  rates: readonly number[],
  outs: readonly number[],
  goodShareMin: number,
): Overload[] {
  const isMet = (second: number) => goodShares[second]! >= goodShareMin;
  const areMet = (second: number) =>
    second + GOOD_SECONDS <= goodShares.length && Array.from({ length: GOOD_SECONDS }, (_, i) => second + i).every(isMet);
  const overloads: Overload[] = [];
  for (let second = 0; second < goodShares.length; second++) {
    if (isMet(second)) continue;
    const fromSecond = second;
    while (second < goodShares.length && !areMet(second)) second++;
    const toSecond = second < goodShares.length ? second : null;
    const decidedSecond = outs.filter((out) => out >= fromSecond - 1 && out < (toSecond ?? Infinity)).sort((a, b) => a - b)[0];
    const asked = rates[Math.floor(decidedSecond ?? 0)]!;
    const isKept = toSecond !== null && rates[toSecond]! >= asked * AS_MUCH;
    overloads.push({
      fromSecond,
      toSecond,
      decidedSecond,
      backSeconds: decidedSecond === undefined ? undefined : isKept ? Math.max(0, toSecond - decidedSecond) : null,
    });
  }
  return overloads;
}

const GOOD_SECONDS = 3;
/** Less than this of a rate is another one. */
const AS_MUCH = 0.95;
