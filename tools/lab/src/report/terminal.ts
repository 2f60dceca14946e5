import type { Conclusion } from '../conclusion.js';
import type { Contrast, LabReport, Run } from '../results.js';
import { comparedIn, labelOf, middleOf, verdictOf } from './figures.js';
import { capabilityOf } from '../experiments/crash-score.js';
import { voidWords } from './page.js';
import { scalingTable } from './scaling-tables.js';

/** The whole run on one screen: figures with their intervals, findings, three sentences and the outcome. */
export function printTable(report: LabReport, conclusion: Conclusion, out: NodeJS.WritableStream): void {
  const lines: string[] = [''];
  for (const experiment of report.experiments) {
    const { title, contrasts, findings, survival, runs } = experiment;
    lines.push(title, '─'.repeat(title.length), ...table(scalingTable(experiment) ?? []));
    if (contrasts.length > 0)
      lines.push(
        ...table([
          ['', 'monolith', 'services', 'services / monolith', '95 % interval', 'blocks', 'verdict'],
          ...contrasts.map((each) => row(each, runs)),
        ]),
      );
    if (survival && survival.length > 0)
      lines.push(
        ...table([
          ['capability', 'killed', 'expected', 'seen', 'good'],
          ...survival.map((cell) => [
            capabilityOf(cell),
            `${cell.killed} of ${cell.arm}`,
            cell.expected,
            cell.seen === cell.expected ? cell.seen : `${cell.seen}  (!)`,
            cell.availability === null ? '—' : `${(cell.availability * 100).toFixed(0)} %`,
          ]),
        ]),
      );
    lines.push(...findings.map((finding) => `  ${finding}`), '');
  }
  if (report.gates.voidBlocks.length > 0) lines.push(`Void: ${voidWords(report)}`, '');
  lines.push(
    ...conclusion.sentences,
    '',
    ...conclusion.notes,
    '',
    ...(conclusion.unexpected.length > 0 ? [`Not as expected: ${conclusion.unexpected.join('; ')}`] : []),
    `Outcome: ${conclusion.outcome}${conclusion.reasons.length > 0 ? `: ${conclusion.reasons.join('; ')}` : ''}`,
  );
  out.write(`${lines.join('\n')}\n`);
}

function row(contrast: Contrast, runs: readonly Run[]): string[] {
  return [
    labelOf(contrast),
    middleOf(contrast, runs, 'monolith'),
    middleOf(contrast, runs, 'services'),
    ...comparedIn(contrast),
    String(contrast.blocks),
    verdictOf(contrast),
  ];
}

function table(rows: readonly string[][]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths![column]!)).join('  ')}`.trimEnd());
}
