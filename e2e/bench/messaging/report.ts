import { median } from '../figures.js';
import type { Sample } from './bench-run.js';
import type { Check, FigureOf, Row } from './rows/rows.js';

/** A table of text: the first column to the left, the others to the right. */
export interface Table {
  readonly header: readonly string[];
  readonly lines: ReadonlyArray<readonly string[]>;
}

export interface Verdict {
  readonly row: string;
  readonly text: string;
  readonly bar: string;
  /** Of the medians. */
  readonly value: number;
  /** Of each round by itself. */
  readonly least: number;
  readonly most: number;
  /** Undefined where there is no bar. */
  readonly passed: boolean | undefined;
  readonly lowered: string | undefined;
}

/** What the bars of a row make of the samples. */
export function judge(row: Row, samples: readonly Sample[]): Verdict[] {
  const mine = samples.filter((sample) => sample.row === row.id);
  const rounds = [...new Set(mine.map(({ round }) => round))];
  const medians: FigureOf = (arm, figure) => median(mine.filter((sample) => sample.arm === arm).map(({ figures }) => figures[figure]!));
  const inRound =
    (round: number): FigureOf =>
    (arm, figure) =>
      mine.find((sample) => sample.arm === arm && sample.round === round)!.figures[figure]!;
  return row.checks.map((check) => {
    const value = check.of(medians);
    const each = rounds.map((round) => check.of(inRound(round)));
    return {
      row: row.id,
      text: check.text,
      bar: barOf(check),
      value,
      least: Math.min(...each),
      most: Math.max(...each),
      passed: passes(check, value),
      lowered: check.lowered,
    };
  });
}

function barOf({ atLeast, atMost }: Check): string {
  return atLeast !== undefined ? `≥ ${atLeast}` : atMost !== undefined ? `≤ ${atMost}` : '';
}

/** What is no number has not passed. */
function passes({ atLeast, atMost }: Check, value: number): boolean | undefined {
  if (atLeast !== undefined) return value >= atLeast;
  return atMost === undefined ? undefined : value <= atMost;
}

/** The medians of the arms of a row. */
export function figuresTable(row: Row, samples: readonly Sample[]): Table {
  const mine = samples.filter((sample) => sample.row === row.id);
  const arms = Object.entries(row.arms).filter(([arm]) => mine.some((sample) => sample.arm === arm));
  const lead = row.columns[0]!;
  return {
    header: [row.id, ...row.columns.map(({ title }) => title), `${lead.title}, least`, 'most'],
    lines: arms.map(([arm, title]) => {
      const of = (figure: string) => mine.filter((sample) => sample.arm === arm).map(({ figures }) => figures[figure]!);
      const leading = of(lead.figure);
      return [
        title,
        ...row.columns.map(({ figure, digits }) => shown(median(of(figure)), digits)),
        shown(Math.min(...leading), lead.digits),
        shown(Math.max(...leading), lead.digits),
      ];
    }),
  };
}

export function verdictsTable(verdicts: readonly Verdict[]): Table {
  return {
    header: ['measure', 'bar', 'here', 'least', 'most', ''],
    lines: verdicts.map(({ row, text, bar, value, least, most, passed, lowered }) => [
      `${row}: ${text}`,
      bar === '' ? '–' : `${bar}${lowered ? ' †' : ''}`,
      ...[value, least, most].map((each) => shown(each, 2)),
      passed === undefined ? '' : passed ? 'passed' : 'MISSED',
    ]),
  };
}

/** Why bars are lower than what was asked for, a sentence each. */
export function reasonsOf(verdicts: readonly Verdict[]): string[] {
  return verdicts.flatMap(({ row, text, lowered }) => (lowered ? [`† ${row}: ${text}: ${lowered}`] : []));
}

function shown(value: number, digits: number): string {
  if (value === Number.POSITIVE_INFINITY) return 'no answer';
  return Number.isNaN(value) ? '–' : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function asText({ header, lines }: Table): string {
  const widths = widthsOf({ header, lines });
  return [header, ...lines]
    .map((line) =>
      line
        .map((cell, i) => pad(cell, widths[i]!, i))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** As Prettier lays it out. */
export function asMarkdown({ header, lines }: Table): string {
  const widths = widthsOf({ header, lines }).map((width, i) => Math.max(width, i === 0 ? 3 : 4));
  const row = (cells: readonly string[]) => `| ${cells.map((cell, i) => pad(cell, widths[i]!, i)).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [row(header), row(rule), ...lines.map(row)].join('\n');
}

function widthsOf({ header, lines }: Table): number[] {
  return header.map((title, i) => Math.max(title.length, ...lines.map((line) => line[i]!.length)));
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}
