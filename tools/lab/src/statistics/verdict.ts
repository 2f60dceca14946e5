import type { ArmName } from '../dependency-table.js';
import type { Contrast, ContrastPlan, Verdict } from '../results.js';
import { pairedEstimate } from './wilcoxon.js';

/**
 * Compares two arms over paired blocks.
 *
 * The interval decides, not the estimate: beyond the margin is "better"; off no-difference but reaching the margin is
 * "slightly better"; inside the margin on both sides is "equal for practical purposes"; anything else is "inconclusive". With
 * too few blocks for a 95 % interval (fewer than 6) there is no verdict.
 *
 * @param pairs one pair a block: the same seed and minute, each arm started afresh
 */
export function contrast(plan: ContrastPlan, pairs: ReadonlyArray<{ a: number; b: number }>): Contrast {
  const usable = pairs.filter(({ a, b }) => Number.isFinite(a) && Number.isFinite(b) && (plan.scale === 'difference' || (a > 0 && b > 0)));
  const onScale = (value: number) => (plan.scale === 'ratio' ? Math.exp(value) : value);
  const result = pairedEstimate(usable.map(({ a, b }) => (plan.scale === 'ratio' ? Math.log(a / b) : a - b)));
  if (!result) {
    const sentence = `No verdict on ${plan.metric}: ${usable.length} of ${pairs.length} blocks are usable, and at least 6 are needed.`;
    return { ...plan, estimate: Number.NaN, low: Number.NaN, high: Number.NaN, blocks: usable.length, verdict: 'no verdict', sentence };
  }
  const [estimate, low, high] = [onScale(result.estimate), onScale(result.low), onScale(result.high)];
  const { verdict, favours } = judge(plan, low, high);
  const winner = favours === undefined ? undefined : (favours === 'smaller') === (plan.better === 'smaller') ? plan.a : plan.b;
  return {
    ...plan,
    estimate,
    low,
    high,
    blocks: usable.length,
    verdict,
    ...(winner && { winner }),
    sentence: say(plan, { estimate, low, high, blocks: usable.length }, verdict, winner),
  };
}

/** `favours` says on which side of no-difference the interval lies: `smaller` when `a` has the smaller figure. */
function judge(plan: ContrastPlan, low: number, high: number): { verdict: Verdict; favours?: 'smaller' | 'larger' } {
  const none = plan.scale === 'ratio' ? 1 : 0;
  const [marginLow, marginHigh] = plan.scale === 'ratio' ? [1 / plan.margin, plan.margin] : [-plan.margin, plan.margin];
  if (high < marginLow) return { verdict: 'better', favours: 'smaller' };
  if (low > marginHigh) return { verdict: 'better', favours: 'larger' };
  // Inside the margin a real difference may still be there; it is too small to act on.
  if (low > marginLow && high < marginHigh) return { verdict: 'equal for practical purposes' };
  if (high < none) return { verdict: 'slightly better', favours: 'smaller' };
  if (low > none) return { verdict: 'slightly better', favours: 'larger' };
  return { verdict: 'inconclusive' };
}

function say(
  plan: ContrastPlan,
  at: { estimate: number; low: number; high: number; blocks: number },
  verdict: Verdict,
  winner: ArmName | undefined,
): string {
  const figure = (value: number) => (plan.scale === 'ratio' ? value.toPrecision(3) : value.toFixed(3));
  const shown = `${plan.metric} ${plan.scale} ${plan.a}/${plan.b} ${figure(at.estimate)} (${figure(at.low)} to ${figure(at.high)}, ${at.blocks} blocks)`;
  if (winner) return `${winner} ${verdict}: ${shown}.`;
  if (verdict === 'equal for practical purposes') return `Equal for practical purposes: ${shown}.`;
  return `No winner: ${shown}. ${seeable(plan, at)}`;
}

/** What this many blocks could have seen, from the interval's own width; blocks needed grow with the square of that. */
function seeable(plan: ContrastPlan, at: { low: number; high: number; blocks: number }): string {
  const halfWidth = plan.scale === 'ratio' ? Math.log(at.high / at.low) / 2 : (at.high - at.low) / 2;
  const margin = plan.scale === 'ratio' ? Math.log(plan.margin) : plan.margin;
  const needed = Math.ceil(at.blocks * (halfWidth / margin) ** 2);
  const least = plan.scale === 'ratio' ? `${((Math.exp(halfWidth) - 1) * 100).toFixed(0)} %` : halfWidth.toFixed(3);
  return `This run could only see differences above about ${least}${needed > at.blocks ? `; about ${needed} blocks would be needed for the margin` : ''}.`;
}
