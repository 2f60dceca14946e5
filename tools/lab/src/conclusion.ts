import type { ArmName } from './dependency-table.js';
import { capabilityOf } from './experiments/crash-score.js';
import type { Contrast, LabReport, SurvivalCell } from './results.js';
import { BLOCKS_OF_A_VERDICT } from './statistics/holm.js';
import { interval } from './statistics/verdict.js';

export const EXIT_CODES = { pass: 0, fail: 1, 'cannot say': 2 } as const;

export interface Conclusion {
  readonly outcome: keyof typeof EXIT_CODES;
  /** Why it is not a pass. */
  readonly reasons: readonly string[];
  /** What was seen otherwise than was expected before the run: findings, which alone make no failure. */
  readonly unexpected: readonly string[];
  /** Three sentences: where the services held up better, where the monolith did, where nothing can be said. None where nothing is compared. */
  readonly sentences: readonly string[];
  /** How far the sentences can be trusted: number of blocks, correction, noise of the machine. */
  readonly notes: readonly string[];
}

/**
 * What may be said of a whole run. *Pass* is that nothing forbidden was seen and that all could be judged. *Fail* is for what must never be: an acknowledged write lost, a value nobody wrote, a write done though refused, a
 * part that does not come back, a capability that behaves otherwise than the committed table says. That one arm is slower is a finding, not a failure,
 * and so is that it is not the one that was expected to be: that is said beside the outcome.
 */
export function conclude(report: LabReport): Conclusion {
  const failures = [...forbidden(report), ...surprises(report)];
  const doubts = [...(report.interrupted ? [report.interrupted] : []), ...missing(report)];
  return {
    outcome: failures.length > 0 ? 'fail' : doubts.length > 0 ? 'cannot say' : 'pass',
    reasons: [...failures, ...doubts],
    unexpected: unexpected(report),
    sentences: isComparing(report) ? [favouring(report, 'services'), favouring(report, 'monolith'), undecided(report)] : [],
    notes: notes(report),
  };
}

/** Whether it set out to: a run that ended before it could compare still says that it cannot. */
function isComparing({ experiments }: LabReport): boolean {
  return experiments.length === 0 || experiments.some(({ contrasts, survival }) => contrasts.length > 0 || survival !== undefined);
}

/** Metrics that must be 0, whether their run is valid or not: a disturbed machine is no excuse for them. */
const FORBIDDEN: Readonly<Record<string, string>> = {
  acknowledgedWritesLost: 'acknowledged writes lost',
  phantomValues: 'values that nobody wrote',
  refusedWritesDone: 'writes done that had been refused',
  wrongAnswers: 'answers with another entry’s value',
};

function forbidden(report: LabReport): string[] {
  return report.experiments
    .filter(({ id }) => id !== 'footprint') // shows the same runs as the hop tax
    .flatMap(({ runs }) => runs)
    .flatMap(({ label, metrics }) => [
      ...Object.entries(FORBIDDEN).flatMap(([metric, words]) => (metrics[metric] ? [`${label}: ${metrics[metric]} ${words}`] : [])),
      ...(metrics['cameBack'] === 0 ? [`${label}: it did not come back`] : []),
    ]);
}

function surprises(report: LabReport): string[] {
  return cells(report)
    .filter(({ expected, seen }) => seen !== 'not measured' && seen !== expected)
    .map((cell) => `${cell.arm} without its ${cell.killed}: ${capabilityOf(cell)} ${cell.seen}, the table says it ${cell.expected}`);
}

/** Where an interval excludes what was expected; an open one contradicts nothing, and is told among what cannot be said. */
function unexpected(report: LabReport): string[] {
  const contradicts = ({ expected, winner, verdict }: Contrast) =>
    expected !== undefined && (winner === undefined ? verdict === 'equal for practical purposes' : winner !== expected);
  return report.experiments.flatMap(({ contrasts, unexpected: others = [] }) => [
    ...contrasts
      .filter(contradicts)
      .map((each) => `${each.label}: ${each.winner ? `${each.winner} ${each.verdict}` : each.verdict}, expected the ${each.expected}`),
    ...others,
  ]);
}

function missing(report: LabReport): string[] {
  const nothing = report.experiments.every(({ runs }) => runs.length === 0) ? ['nothing was measured'] : [];
  const undecidable = report.experiments
    .filter(({ contrasts }) => contrasts[0]?.verdict === 'no verdict')
    .map(({ title, contrasts }) => `${title}: ${contrasts[0]!.sentence}`);
  const crashes = report.experiments.filter(({ id }) => id === 'crash');
  const invalid = crashes.flatMap(({ title, runs }) =>
    runs.filter(({ valid }) => !valid).map(({ label }) => `${title}: the run "${label}" is void`),
  );
  const unread = report.experiments
    .filter(({ id }) => id === 'crash' || id === 'coming-and-going')
    .flatMap(({ runs }) => runs)
    .filter(({ metrics }) => metrics['unreadKeys'])
    .map(({ label, metrics }) => `${label}: ${metrics['unreadKeys']} keys could not be read back`);
  const unseen = cells(report)
    .filter(({ seen }) => seen === 'not measured')
    .map((cell) => `${cell.arm} without its ${cell.killed}: ${capabilityOf(cell)} was not measured`);
  return [...nothing, ...undecidable, ...invalid, ...unread, ...unseen];
}

function cells(report: LabReport) {
  return report.experiments.flatMap(({ survival }) => survival ?? []);
}

const NAMES: Readonly<Record<ArmName, string>> = {
  monolith: 'The monolith',
  'monolith-threads': 'The monolith of several threads',
  services: 'The services',
};

/** Contrasts that an arm won, and what it kept in a crash that the other did not. */
function favouring(report: LabReport, arm: ArmName): string {
  const wonBy = (from: number, to?: number) =>
    report.experiments.flatMap(({ contrasts }) => contrasts.slice(from, to).filter(({ winner }) => winner === arm)).map(shown);
  const others = wonBy(1);
  const won = [...wonBy(0, 1), ...(others.length === 0 ? [] : [`only describing, not corrected for their number: ${others.join(', ')}`])];
  const all = [...won, ...kept(report, arm)];
  if (all.length === 0) return `${NAMES[arm]} held up better nowhere in this run.`;
  return `${NAMES[arm]} held up better here${won.length === 0 ? '' : ' (services over monolith, 95 % interval)'}: ${all.join('; ')}.`;
}

/** What went on in an arm's crash and was seen to fail in the other's: where the other's is void, nothing can be held against it. */
function kept(report: LabReport, arm: ArmName): string[] {
  const seen = cells(report);
  const lostByTheOther = ({ capability }: SurvivalCell) => {
    const others = seen.filter((other) => other.arm !== arm && other.capability === capability);
    return others.length > 0 && others.every((other) => other.seen === 'fails');
  };
  const better = seen.filter((cell) => cell.arm === arm && cell.seen === 'survives' && lostByTheOther(cell));
  if (better.length === 0) return [];
  const fault = report.experiments.flatMap(({ runs }) => runs).find((run) => run.valid && run.arm === arm && run.fault)?.fault;
  const away = fault ? ` and away for ${(fault.toSecond - fault.fromSecond).toFixed(1)} s` : '';
  return [`with the ${better[0]!.killed} killed${away}, ${better.map(capabilityOf).join(' and ')} went on (one run, no verdict)`];
}

function undecided(report: LabReport): string {
  const withVerdict = (verdict: Contrast['verdict']) =>
    report.experiments.flatMap(({ contrasts }) => contrasts.filter((each) => each.verdict === verdict));
  const compared = report.experiments.flatMap(({ contrasts }) => contrasts);
  const equal = withVerdict('equal for practical purposes').map(({ label }) => label);
  const open = [...withVerdict('inconclusive'), ...withVerdict('no verdict')].map((each) => `${each.label} (${each.verdict})`);
  return [
    compared.length > 0 && open.length === compared.length
      ? 'Nothing can be said of anything that was compared'
      : open.length === 0
        ? 'Something can be said of everything that was compared'
        : `Nothing can be said of ${open.join('; ')}`,
    ...(equal.length === 0 ? [] : [`equal for practical purposes: ${equal.join('; ')}`]),
  ]
    .join('; ')
    .concat('.');
}

function notes(report: LabReport): string[] {
  const primaries = report.experiments.flatMap(({ contrasts }) => contrasts.slice(0, 1)).filter(({ verdict }) => verdict !== 'no verdict');
  const blocks = Math.min(...primaries.map((each) => each.blocks));
  const corrected = primaries.map(({ label, pHolm = Number.NaN }) => `${label} ${pHolm.toFixed(3)}`).join(', ');
  return [
    ...(primaries.length === 0
      ? []
      : [`p of the primary measures, corrected for their number (Holm): ${corrected}. The other measures describe.`]),
    ...(primaries.length > 0 && blocks < BLOCKS_OF_A_VERDICT
      ? [
          `${blocks} blocks are indicative: their smallest possible p is ${2 ** (1 - blocks)} before that correction. Publish with --blocks ${BLOCKS_OF_A_VERDICT}.`,
        ]
      : []),
    `Noise floor: ${report.gates.noiseFloor}.`,
  ];
}

function shown(contrast: Contrast): string {
  const words = contrast.label.replace(', ', ' of ');
  return `${words} ${contrast.scale === 'difference' ? 'differs by ' : ''}${interval(contrast, contrast)}, ${contrast.verdict}`;
}
