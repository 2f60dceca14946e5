import { conclude } from '../conclusion.js';
import type { Contrast, LabReport, Run } from '../results.js';
import { capabilityOf } from '../experiments/crash-score.js';
import { interval } from '../statistics/verdict.js';
import { middleOf, verdictOf, writesLost } from './figures.js';
import { scalingTable } from './scaling-tables.js';

/** A published run for a document, as Prettier would leave it. */
export function publishedBlock(report: LabReport, links: { behind: string; picture: string | undefined }): string {
  const { meta } = report;
  const { outcome, sentences, notes, unexpected } = conclude(report);
  const where = `${meta.startedAt.slice(0, 10)}, commit ${meta.commit}${meta.dirty ? ' with uncommitted changes' : ''}, ${meta.machine.cpu}, ${meta.machine.cores} cores (${meta.profile}), Node ${meta.versions.node}, nats-server ${meta.versions.nats}`;
  const scaling = report.experiments.flatMap((experiment) => {
    const rows = scalingTable(experiment);
    return rows ? [{ rows, findings: experiment.findings }] : [];
  });
  const said = [
    ...sentences,
    ...scaling.flatMap(({ findings }) => findings),
    ...(unexpected.length === 0 ? [] : [`Not as expected: ${unexpected.join('; ')}.`]),
    ...(scaling.length === 0 ? notes : []),
  ];
  return [
    `One run of \`${meta.replay}\`: ${where}. Outcome: ${outcome}. Behind it: ${links.behind}.`,
    ...(links.picture === undefined ? [] : [`![the report page of that run](${links.picture})`]),
    ...(scaling.length === 0 ? [comparison(report)] : scaling.map(({ rows }) => table(rows))),
    ...survivalTable(report),
    said.map((sentence) => `- ${sentence}`).join('\n'),
  ].join('\n\n');
}

function comparison({ experiments }: LabReport): string {
  return table([
    ['', 'monolith', 'services', 'services / monolith, 95 % interval', 'verdict'],
    ...experiments.flatMap(({ contrasts, runs }) => contrasts.map((each) => row(each, runs))),
  ]);
}

function row(contrast: Contrast, runs: readonly Run[]): string[] {
  return [
    contrast.label,
    middleOf(contrast, runs, 'monolith'),
    middleOf(contrast, runs, 'services'),
    Number.isNaN(contrast.low) ? '–' : interval(contrast, contrast),
    verdictOf(contrast),
  ];
}

function survivalTable({ experiments }: LabReport): string[] {
  const crash = experiments.find(({ id }) => id === 'crash');
  if (!crash || crash.runs.length === 0) return [];
  const rows = crash.runs.map((run) => {
    const cells = crash.survival?.filter(({ arm }) => arm === run.arm) ?? [];
    const { lostGoodRequests, recoverySeconds } = run.metrics;
    return [
      `${run.label}${run.valid ? '' : ' (void)'}`,
      cells
        .filter(({ seen }) => seen === 'survives')
        .map(capabilityOf)
        .join(', ') || 'nothing',
      String(lostGoodRequests ?? '–'),
      recoverySeconds === undefined ? 'not within the run' : `${recoverySeconds.toFixed(1)} s`,
      writesLost(run),
    ];
  });
  return [
    table([['one crash each, no verdict', 'went on', 'good requests lost', 'recovered within', 'acknowledged writes lost'], ...rows]),
  ];
}

function table(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(3, ...rows.map((each) => each[column]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(rows[0]!), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.slice(1).map(line)].join('\n');
}
