import type { ArmName } from '../dependency-table.js';
import type { Contrast, ContrastPlan, Verdict } from '../results.js';
import { pairedEstimate } from './wilcoxon.js';

/** What is known of a metric before it is compared. */
export interface Floor {
  /** Half of the interval of an arm beside itself, on the scale of the contrast (logarithm of a ratio, or difference): less cannot be told from noise. */
  readonly halfWidth?: number | undefined;
  /** Why the metric is not compared at all. */
  readonly refused?: string | undefined;
}

/**
 * Compares two arms over paired blocks.
 *
 * The interval decides, not the estimate: beyond the margin is "better"; off no-difference but reaching the margin is
 * "slightly better"; inside the margin on both sides is "equal for practical purposes"; anything else is "inconclusive". With
 * too few blocks for a 95 % interval (fewer than 6) there is no verdict.
 *
 * Where the machine's floor is above the declared margin, it takes its place for winning but not for being equal: a machine that sees little makes
 * nothing equal.
 *
 * @param declared its margin gives way to the floor where that is larger
 * @param pairs one pair a block: the same seed and minute, each arm started afresh
 */
export function contrast(declared: ContrastPlan, pairs: ReadonlyArray<{ a: number; b: number }>, floor: Floor = {}): Contrast {
  const margin = marginOf(declared, floor);
  const plan = { ...declared, margin, ...(margin > declared.margin && { byNoise: true }) };
  const usable = pairs.filter(({ a, b }) => Number.isFinite(a) && Number.isFinite(b) && (plan.scale === 'difference' || (a > 0 && b > 0)));
  const onScale = (value: number) => (plan.scale === 'ratio' ? Math.exp(value) : value);
  const result = pairedEstimate(usable.map(({ a, b }) => (plan.scale === 'ratio' ? Math.log(a / b) : a - b)));
  const none = { ...plan, estimate: Number.NaN, low: Number.NaN, high: Number.NaN, pValue: Number.NaN, blocks: usable.length };
  const refuse = (why: string) => ({ ...none, verdict: 'no verdict' as const, sentence: `No verdict on ${plan.label}: ${why}.` });
  if (floor.refused !== undefined) return refuse(floor.refused);
  // A figure is missing where nothing was answered well: to compare what is left would favour whoever failed.
  if (usable.length > 0 && usable.length < pairs.length)
    return refuse(`${pairs.length - usable.length} of ${pairs.length} blocks have no figure of it`);
  if (!result) return refuse(`${usable.length} of ${pairs.length} blocks are usable, and at least 6 are needed`);
  const [estimate, low, high] = [onScale(result.estimate), onScale(result.low), onScale(result.high)];
  const { verdict, favours } = judge(plan, declared.margin, low, high);
  const winner = favours === undefined ? undefined : (favours === 'smaller') === (plan.better === 'smaller') ? plan.a : plan.b;
  return {
    ...plan,
    estimate,
    low,
    high,
    blocks: usable.length,
    pValue: result.pValue,
    verdict,
    ...(winner && { winner }),
    sentence: say(plan, { estimate, low, high, blocks: usable.length }, verdict, winner),
  };
}

/** Half of a contrast's interval, on its scale. */
export function halfWidthOf({ scale, low, high }: Pick<Contrast, 'scale' | 'low' | 'high'>): number {
  return scale === 'ratio' ? Math.log(high / low) / 2 : (high - low) / 2;
}

function marginOf({ scale, margin }: ContrastPlan, { halfWidth = 0 }: Floor): number {
  return Math.max(margin, scale === 'ratio' ? Math.exp(halfWidth) : halfWidth);
}

/** `favours` says on which side of no-difference the interval lies: `smaller` when `a` has the smaller figure. */
function judge(plan: ContrastPlan, declared: number, low: number, high: number): { verdict: Verdict; favours?: 'smaller' | 'larger' } {
  const none = plan.scale === 'ratio' ? 1 : 0;
  const bounds = (margin: number) => (plan.scale === 'ratio' ? ([1 / margin, margin] as const) : ([-margin, margin] as const));
  const [marginLow, marginHigh] = bounds(plan.margin);
  const [equalLow, equalHigh] = bounds(declared);
  if (high < marginLow) return { verdict: 'better', favours: 'smaller' };
  if (low > marginHigh) return { verdict: 'better', favours: 'larger' };
  // Inside the margin a real difference may still be there; it is too small to act on.
  if (low > equalLow && high < equalHigh) return { verdict: 'equal for practical purposes' };
  if (low > marginLow && high < marginHigh) return { verdict: 'inconclusive' };
  if (high < none) return { verdict: 'slightly better', favours: 'smaller' };
  if (low > none) return { verdict: 'slightly better', favours: 'larger' };
  return { verdict: 'inconclusive' };
}

type Interval = Pick<Contrast, 'estimate' | 'low' | 'high' | 'blocks'>;

function say(plan: ContrastPlan & Pick<Contrast, 'byNoise'>, at: Interval, verdict: Verdict, winner: ArmName | undefined): string {
  const shown = `${plan.label} ${plan.scale} ${plan.a}/${plan.b} ${interval(plan, at)}, ${at.blocks} blocks`;
  if (winner) return `${winner} ${verdict}: ${shown}.`;
  if (verdict === 'equal for practical purposes') return `Equal for practical purposes: ${shown}.`;
  return `No winner. ${shown}. ${seeable(plan, at)}`;
}

/** `1.88 (1.74–1.99)` */
export function interval({ scale }: Pick<Contrast, 'scale'>, { estimate, low, high }: Omit<Interval, 'blocks'>): string {
  const figure = (value: number) => (scale === 'ratio' ? value.toFixed(2) : value.toFixed(4));
  return `${figure(estimate)} (${figure(low)}–${figure(high)})`;
}

/**
 * What this many blocks on this machine could have seen, from the interval's own width; blocks needed grow with the square of that. Where the
 * machine's noise is what bounds it, more blocks would not help.
 */
export function seeable(plan: Pick<Contrast, 'scale' | 'margin' | 'byNoise'>, at: Pick<Interval, 'low' | 'high' | 'blocks'>): string {
  const halfWidth = halfWidthOf({ ...plan, ...at });
  const margin = plan.scale === 'ratio' ? Math.log(plan.margin) : plan.margin;
  const needed = Math.ceil(at.blocks * (halfWidth / margin) ** 2);
  const words = (width: number) =>
    plan.scale === 'ratio' ? `${((Math.exp(width) - 1) * 100).toFixed(0)} %` : `${(width * 100).toFixed(2)} points`;
  if (plan.byNoise && halfWidth < margin)
    return `Below about ${words(margin)} no difference counts on this machine: so much the monolith differs from itself (noise floor).`;
  const more = needed > at.blocks ? `; about ${needed} blocks would be needed for ${words(margin)}` : '';
  return `This machine could only see differences above about ${words(halfWidth)}${more}.`;
}
