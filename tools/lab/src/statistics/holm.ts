import type { Contrast, Experiment } from '../results.js';
import { seeable } from './verdict.js';

/** Fewer blocks are indicative: even all of six on one side have p = 0.031, which no correction for several measures leaves below 0.05. */
export const BLOCKS_OF_A_VERDICT = 12;
const LEVEL = 0.05;

/** Holm's step-down method (*A simple sequentially rejective multiple test procedure*, 1979): adjusted p, in the order given. */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a]! - pValues[b]!);
  const adjusted = new Array<number>(pValues.length);
  let largest = 0;
  for (const [rank, i] of order.entries()) adjusted[i] = largest = Math.max(largest, Math.min(1, pValues[i]! * (pValues.length - rank)));
  return adjusted;
}

/**
 * Corrects the primaries of all experiments for their number. With enough blocks for that to be possible, a primary that does not survive loses
 * its winner; with fewer the verdicts stay, and the report calls them indicative.
 */
export function correctPrimaries(experiments: readonly Experiment[]): Experiment[] {
  const primaries = experiments.flatMap(({ contrasts }) => contrasts.slice(0, 1));
  // One that could not be compared was planned all the same, and counts as one that showed nothing.
  const adjusted = new Map(
    holm(primaries.map(({ pValue }) => (Number.isFinite(pValue) ? pValue : 1))).map((pHolm, i) => [primaries[i]!, pHolm]),
  );
  return experiments.map((experiment) => ({
    ...experiment,
    contrasts: experiment.contrasts.map((each) =>
      adjusted.has(each) && Number.isFinite(each.pValue) ? corrected(each, adjusted.get(each)!, primaries.length) : each,
    ),
  }));
}

function corrected(primary: Contrast, pHolm: number, primaries: number): Contrast {
  // All blocks on one side have the smallest p there is; where even that could not pass, nothing is taken away.
  const couldPass = 2 ** (1 - primary.blocks) * primaries <= LEVEL;
  const survives = pHolm <= LEVEL || !couldPass || primary.winner === undefined;
  if (survives) return { ...primary, pHolm };
  return {
    ...primary,
    pHolm,
    verdict: 'inconclusive',
    winner: undefined,
    sentence: `No winner. ${primary.label} does not survive the correction for several measures (p ${pHolm.toFixed(3)}). ${seeable(primary, primary)}`,
  };
}
