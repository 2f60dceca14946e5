import { conclude } from '../conclusion.js';
import type { ArmName } from '../dependency-table.js';
import type { Contrast, LabReport, Run } from '../results.js';
import { interval } from '../statistics/verdict.js';
import { median } from '../statistics/wilcoxon.js';

/** A published run for a document, as Prettier would leave it. */
export function publishedBlock(report: LabReport, links: { behind: string; picture: string | undefined }): string {
  const { meta } = report;
  const { outcome, sentences, notes } = conclude(report);
  const where = `${meta.startedAt.slice(0, 10)}, commit ${meta.commit}${meta.dirty ? ' with uncommitted changes' : ''}, ${meta.machine.cpu}, ${meta.machine.cores} cores (${meta.profile}), Node ${meta.versions.node}, nats-server ${meta.versions.nats}`;
  return [
    `One run of \`${meta.replay}\`: ${where}. Outcome: ${outcome}. Behind it: ${links.behind}.`,
    ...(links.picture === undefined ? [] : [`![the report page of that run](${links.picture})`]),
    table([
      ['', 'monolith', 'services', 'services / monolith, 95 % interval', 'verdict'],
      ...report.experiments.flatMap(({ contrasts, runs }) => contrasts.map((each) => row(each, runs))),
    ]),
    ...survivalTable(report),
    [...sentences, ...notes].map((sentence) => `- ${sentence}`).join('\n'),
  ].join('\n\n');
}

function row(contrast: Contrast, runs: readonly Run[]): string[] {
  const middle = (arm: ArmName) => {
    const values = runs.flatMap(({ valid, label, metrics }) => (valid && label === arm ? [metrics[contrast.metric] ?? Number.NaN] : []));
    return values.length === 0 ? '–' : figure(median(values), contrast.unit);
  };
  return [
    contrast.label,
    middle('monolith'),
    middle('services'),
    Number.isNaN(contrast.low) ? '–' : interval(contrast, contrast),
    contrast.winner ? `${contrast.winner} ${contrast.verdict}` : contrast.verdict,
  ];
}

function figure(value: number, unit: string): string {
  if (unit === 'B') return `${(value / 2 ** 20).toFixed(0)} MiB`;
  if (unit === '') return `${(value * 100).toFixed(2)} %`;
  return `${value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)} ${unit}`;
}

function survivalTable({ experiments }: LabReport): string[] {
  const crash = experiments.find(({ id }) => id === 'crash');
  if (!crash || crash.runs.length === 0) return [];
  const rows = crash.runs.map((run) => {
    const cells = crash.survival?.filter(({ arm }) => arm === run.arm) ?? [];
    const { acknowledgedWritesLost, acknowledgedWrites, lostGoodRequests, recoverySeconds } = run.metrics;
    return [
      `${run.label}${run.valid ? '' : ' (void)'}`,
      cells
        .filter(({ seen }) => seen === 'survives')
        .map(({ capability }) => capability)
        .join(', ') || 'nothing',
      String(lostGoodRequests ?? '–'),
      recoverySeconds === undefined ? 'not within the run' : `${recoverySeconds.toFixed(1)} s`,
      `${acknowledgedWritesLost} of ${acknowledgedWrites}`,
    ];
  });
  return [table([['one crash each, no verdict', 'went on', 'good requests lost', 'recovered after', 'acknowledged writes lost'], ...rows])];
}

function table(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(3, ...rows.map((each) => each[column]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(rows[0]!), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.slice(1).map(line)].join('\n');
}
