import type { Contrast, LabReport } from './results.js';

export const EXIT_CODES = { pass: 0, fail: 1, 'cannot say': 2 } as const;

export interface Conclusion {
  readonly outcome: keyof typeof EXIT_CODES;
  /** Why it is not a pass. */
  readonly reasons: readonly string[];
  /** Three sentences: where the services held up better, where the monolith did, where nothing can be said. */
  readonly sentences: readonly [services: string, monolith: string, neither: string];
}

/**
 * What may be said of a whole run. *Fail* is for what must never be: an acknowledged write lost, a value nobody wrote, a capability that behaves otherwise
 * than the committed table says. That one arm is slower is a finding, not a failure.
 */
export function conclude(report: LabReport): Conclusion {
  const failures = [...lostWrites(report), ...surprises(report)];
  const doubts = [...(report.interrupted ? [report.interrupted] : []), ...missing(report)];
  return {
    outcome: failures.length > 0 ? 'fail' : doubts.length > 0 ? 'cannot say' : 'pass',
    reasons: [...failures, ...doubts],
    sentences: [favouring(report, 'services'), favouring(report, 'monolith'), undecided(report)],
  };
}

function lostWrites(report: LabReport): string[] {
  return report.experiments
    .flatMap(({ runs }) => runs)
    .flatMap(({ label, metrics }) => [
      ...(metrics['acknowledgedWritesLost'] ? [`${label}: ${metrics['acknowledgedWritesLost']} acknowledged writes lost`] : []),
      ...(metrics['phantomValues'] ? [`${label}: ${metrics['phantomValues']} values that nobody wrote`] : []),
    ]);
}

function surprises(report: LabReport): string[] {
  return report.experiments
    .flatMap(({ survival }) => survival ?? [])
    .filter(({ expected, seen }) => seen !== 'not measured' && seen !== expected)
    .map(
      ({ arm, killed, capability, expected, seen }) => `${arm} without its ${killed}: ${capability} ${seen}, the table says it ${expected}`,
    );
}

function missing(report: LabReport): string[] {
  const undecidable = report.experiments
    .filter(({ contrasts }) => contrasts[0]?.verdict === 'no verdict')
    .map(({ title, contrasts }) => `${title}: ${contrasts[0]!.sentence}`);
  const invalid = report.experiments
    .filter(({ id }) => id === 'crash')
    .flatMap(({ title, runs }) => runs.filter(({ valid }) => !valid).map(({ label }) => `${title}: the run "${label}" is void`));
  return [...undecidable, ...invalid];
}

/** Contrasts that an arm won, and what it kept in a crash while the other kept nothing. */
function favouring(report: LabReport, arm: 'services' | 'monolith'): string {
  const won = report.experiments.flatMap(({ title, contrasts }) =>
    contrasts.filter(({ winner }) => winner === arm).map((contrast) => `${title.toLowerCase()}: ${shown(contrast)}`),
  );
  const kept = report.experiments.flatMap(({ survival }) => survival ?? []).filter((cell) => cell.arm === arm && cell.seen === 'survives');
  const survived =
    kept.length === 0
      ? []
      : [`with its ${kept[0]!.killed} killed it went on with ${kept.map(({ capability }) => capability).join(', ')} (one run, no verdict)`];
  const all = [...won, ...survived];
  const name = arm === 'services' ? 'The services' : 'The monolith';
  return all.length === 0 ? `${name} held up better nowhere in this run.` : `${name} held up better here: ${all.join('; ')}.`;
}

function undecided(report: LabReport): string {
  const open = report.experiments.flatMap(({ title, contrasts }) =>
    contrasts.filter(({ winner }) => winner === undefined).map(({ metric, verdict }) => `${title.toLowerCase()}, ${metric} (${verdict})`),
  );
  return open.length === 0
    ? 'Every comparison of this run found a winner.'
    : `Nothing can be said, or nothing differs, here: ${open.join('; ')}.`;
}

function shown({ metric, scale, estimate, low, high }: Contrast): string {
  const figure = (value: number) => (scale === 'ratio' ? value.toFixed(2) : value.toFixed(3));
  return `${metric} ${scale} ${figure(estimate)} (${figure(low)} to ${figure(high)})`;
}
