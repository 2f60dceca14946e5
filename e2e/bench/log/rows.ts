import type { Check, Row } from '../messaging/rows/rows.js';
import type { ArmName } from './arm-main.js';

export const ROW_IDS = ['one', 'waiting128', 'waiting1024', 'open', 'memory', 'compaction', 'reads'] as const;
export type RowId = (typeof ROW_IDS)[number];

/** How an arm of a row is run. */
export interface ArmOf {
  readonly program: ArmName;
  /** In a directory of its own, or in the one that holds a filled log. */
  readonly directory: 'fresh' | 'filled';
  readonly parameters: object;
}

export interface LogRow extends Row<RowId> {
  readonly how: Readonly<Record<string, ArmOf>>;
}

/** Of the log that is opened and read from. */
export const FILLED_KEYS = 1_000_000;

const appends = (parameters: { waiting: number; count: number }): Record<string, ArmOf> => ({
  engine: { program: 'engine-appends', directory: 'fresh', parameters },
  bare: { program: 'bare-appends', directory: 'fresh', parameters },
});
const appendArms = { engine: 'the log', bare: 'bare group commit' };
const appendColumns = [
  { figure: 'appendsPerSecond', title: 'appends/s', digits: 0 },
  { figure: 'cpuUsPerAppend', title: 'CPU µs/append', digits: 2 },
];

function ratio(what: string, figure: string, bar: { atLeast?: number; atMost?: number }): Check {
  return { text: `${what}: the log / bare`, ...bar, of: (figureOf) => figureOf('engine', figure) / figureOf('bare', figure) };
}

/** The rows of the benchmark with their bars. Raise a bar that is beaten. */
export const ROWS: readonly LogRow[] = [
  {
    id: 'one',
    title: 'one append at a time, 256-byte values',
    arms: { engine: 'the log', bare: 'bare write and fdatasync' },
    columns: [
      { figure: 'p50Us', title: 'p50 µs', digits: 0 },
      { figure: 'p99Us', title: 'p99 µs', digits: 0 },
    ],
    checks: [ratio('p50', 'p50Us', { atMost: 1.3 })],
    how: appends({ waiting: 1, count: 2_000 }),
  },
  {
    id: 'waiting128',
    title: 'durable appends, 128 waiting, 256-byte values',
    arms: appendArms,
    columns: appendColumns,
    checks: [ratio('appends/s', 'appendsPerSecond', { atLeast: 0.7 })],
    how: appends({ waiting: 128, count: 800_000 }),
  },
  {
    id: 'waiting1024',
    title: 'durable appends, 1,024 waiting, 256-byte values',
    arms: appendArms,
    columns: appendColumns,
    checks: [ratio('appends/s', 'appendsPerSecond', { atLeast: 0.5 })],
    how: appends({ waiting: 1_024, count: 2_000_000 }),
  },
  {
    id: 'open',
    title: 'opening 1,000,000 entries',
    arms: { engine: 'the log', bare: 'bare scan with checksums and a Map' },
    columns: [{ figure: 'entriesPerSecond', title: 'entries/s', digits: 0 }],
    checks: [ratio('entries/s', 'entriesPerSecond', { atLeast: 0.5 })],
    how: {
      engine: { program: 'engine-open', directory: 'filled', parameters: { keys: FILLED_KEYS } },
      bare: { program: 'bare-open', directory: 'filled', parameters: { keys: FILLED_KEYS } },
    },
  },
  {
    id: 'memory',
    title: 'memory of 1,000,000 keys of 24 bytes, ordered listing, dedupe window and recent commits included',
    arms: { engine: 'the log' },
    columns: [{ figure: 'bytesPerKey', title: 'bytes/key', digits: 1 }],
    checks: [{ text: 'bytes a key', atMost: 110, of: (figureOf) => figureOf('engine', 'bytesPerKey') }],
    how: { engine: { program: 'engine-memory', directory: 'filled', parameters: { keys: FILLED_KEYS } } },
  },
  {
    id: 'compaction',
    title: 'appends by 16 callers, with and without compaction',
    arms: { with: 'while compaction runs', without: 'without' },
    columns: [
      { figure: 'p99Us', title: 'p99 µs', digits: 0 },
      { figure: 'p50Us', title: 'p50 µs', digits: 0 },
      { figure: 'busyPercent', title: '% of the time compacting', digits: 0 },
    ],
    checks: [{ text: 'p99: with / without', atMost: 2, of: (figureOf) => figureOf('with', 'p99Us') / figureOf('without', 'p99Us') }],
    how: {
      with: { program: 'compaction-appends', directory: 'fresh', parameters: { waiting: 16, count: 100_000, compact: true } },
      without: { program: 'compaction-appends', directory: 'fresh', parameters: { waiting: 16, count: 100_000, compact: false } },
    },
  },
  {
    id: 'reads',
    title: 'point reads from disk by 16 callers, pages in memory',
    arms: { engine: 'the log', bare: 'bare asynchronous reads' },
    columns: [
      { figure: 'readsPerSecond', title: 'reads/s', digits: 0 },
      { figure: 'cpuUsPerRead', title: 'CPU µs/read', digits: 2 },
    ],
    checks: [ratio('reads/s', 'readsPerSecond', { atLeast: 0.5 })],
    how: {
      engine: { program: 'engine-reads', directory: 'filled', parameters: { keys: FILLED_KEYS, waiting: 16, count: 200_000 } },
      bare: { program: 'bare-reads', directory: 'filled', parameters: { keys: FILLED_KEYS, waiting: 16, count: 200_000 } },
    },
  },
];
