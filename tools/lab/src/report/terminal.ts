import type { Conclusion } from '../conclusion.js';
import type { Contrast, LabReport } from '../results.js';
import { voidWords } from './page.js';

/** The whole run on one screen: figures with their intervals, findings, three sentences and the outcome. */
export function printTable(report: LabReport, conclusion: Conclusion, out: NodeJS.WritableStream): void {
  const lines: string[] = [''];
  for (const { title, contrasts, findings, survival } of report.experiments) {
    lines.push(title, '─'.repeat(title.length));
    if (contrasts.length > 0)
      lines.push(...table([['', 'services / monolith', '95 % interval', 'blocks', 'verdict'], ...contrasts.map(row)]));
    if (survival && survival.length > 0)
      lines.push(
        ...table([
          ['capability', 'killed', 'expected', 'seen', 'good'],
          ...survival.map((cell) => [
            cell.capability,
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
    `Outcome: ${conclusion.outcome}${conclusion.reasons.length > 0 ? `: ${conclusion.reasons.join('; ')}` : ''}`,
  );
  out.write(`${lines.join('\n')}\n`);
}

function row(contrast: Contrast): string[] {
  const figure = (value: number) => (Number.isNaN(value) ? '—' : contrast.scale === 'ratio' ? `${value.toFixed(2)} ×` : value.toFixed(4));
  const interval = Number.isNaN(contrast.low) ? '—' : `${figure(contrast.low)} to ${figure(contrast.high)}`;
  return [
    contrast.label,
    figure(contrast.estimate),
    interval,
    String(contrast.blocks),
    contrast.winner ? `${contrast.winner} ${contrast.verdict}` : contrast.verdict,
  ];
}

function table(rows: readonly string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd());
}
