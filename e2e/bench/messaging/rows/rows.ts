import { ABOUT, OTHERS } from '../peers/peer.js';

/** The figure of an arm: its median over the rounds, or what it was in one of them. */
export type FigureOf = (arm: string, figure: string) => number;

/** One bar, and what is held against it. */
export interface Check {
  readonly text: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Why the bar is not what was asked for at first; the page shows the evidence. */
  readonly lowered?: string;
  of(figure: FigureOf): number;
}

export interface Row<Id extends string = string> {
  readonly id: Id;
  readonly title: string;
  readonly arms: Readonly<Record<string, string>>;
  readonly columns: readonly Column[];
  readonly checks: readonly Check[];
}

interface Column {
  readonly figure: string;
  readonly title: string;
  readonly digits: number;
}

export const ROW_IDS = ['lockstep', 'one', 'sixteen', 'arrivals', 'large', 'http', 'calls'] as const;
export type RowId = (typeof ROW_IDS)[number];

const titles = Object.fromEntries(Object.entries(ABOUT).map(([peer, { title }]) => [peer, title]));
const rate: Column = { figure: 'callsPerSecond', title: 'calls/s', digits: 0 };
const p50: Column = { figure: 'p50Us', title: 'p50 µs', digits: 0 };
const p99: Column = { figure: 'p99Us', title: 'p99 µs', digits: 0 };
const frames: Column = { figure: 'callsPerFrame', title: 'calls/frame', digits: 1 };
const cpu: Column = { figure: 'cpuUsPerCall', title: 'CPU µs/call', digits: 1 };

/** `ours / theirs` of one figure. */
function ratio(ours: string, theirs: string, figure: string, bar: { atLeast?: number; atMost?: number }): Check {
  const what = { callsPerSecond: 'calls/s', requestsPerSecond: 'requests/s', p50Us: 'p50', p99Us: 'p99' }[figure] ?? figure;
  return {
    text: `${what}: ${titles[ours] ?? ours} / ${titles[theirs] ?? theirs}`,
    ...bar,
    of: (figureOf) => figureOf(ours, figure) / figureOf(theirs, figure),
  };
}

const noSlower = OTHERS.flatMap((other) => ['p50Us', 'p99Us'].map((figure) => ratio('port', other, figure, { atMost: 1 })));

/** The rows of the benchmark with their bars. Raise a bar that is beaten. */
export const ROWS: ReadonlyArray<Row<RowId>> = [
  {
    id: 'lockstep',
    title: '128 in flight in lockstep, 256-byte values',
    arms: titles,
    columns: [rate, frames, cpu],
    checks: [
      ratio('port', 'nest', 'callsPerSecond', { atLeast: 5 }),
      ratio('port', 'moleculer', 'callsPerSecond', { atLeast: 3 }),
      ratio('port', 'nats-default', 'callsPerSecond', { atLeast: 5 }),
      {
        ...ratio('port', 'nats', 'callsPerSecond', { atLeast: 3.5 }),
        lowered: 'from 5: asked of `nc.request` as it is; without its stack traces it makes half as many calls again',
      },
      ratio('send', 'nest', 'callsPerSecond', { atLeast: 3 }),
    ],
  },
  { id: 'one', title: '1 in flight, 256-byte values', arms: titles, columns: [rate, p50, p99, frames, cpu], checks: noSlower },
  {
    id: 'sixteen',
    title: '16 in flight, 256-byte values',
    arms: titles,
    columns: [rate, p50, p99, frames, cpu],
    checks: [...noSlower, ratio('port', 'nats', 'callsPerSecond', { atLeast: 1.5 })],
  },
  {
    id: 'arrivals',
    title: "Poisson arrivals from 4 callers to 3 servers at half of the weakest peer's peak",
    arms: titles,
    columns: [
      rate,
      p50,
      p99,
      frames,
      cpu,
      { figure: 'latenessP50Us', title: 'late p50 µs', digits: 0 },
      { figure: 'latenessP99Us', title: 'late p99 µs', digits: 0 },
      { figure: 'failures', title: 'failed', digits: 0 },
    ],
    checks: noSlower,
  },
  {
    id: 'large',
    title: '32 in flight, 64 KiB values',
    arms: titles,
    columns: [rate, p50, p99, frames, cpu],
    checks: [ratio('port', 'nats', 'callsPerSecond', { atLeast: 1 })],
  },
  {
    id: 'http',
    title: 'HTTP GET of 256 bytes, each arm on one core',
    arms: { services: 'gateway, NATS, cache', 'stock-nest': 'the same of stock Nest', monolith: 'monolith' },
    columns: [
      { figure: 'requestsPerSecond', title: 'requests/s', digits: 0 },
      { figure: 'p99Us', title: 'p99 µs', digits: 0 },
      { figure: 'cpuUsPerRequest', title: 'CPU µs/request', digits: 1 },
    ],
    checks: [
      ratio('services', 'stock-nest', 'requestsPerSecond', { atLeast: 2.5 }),
      ratio('services', 'monolith', 'requestsPerSecond', { atLeast: 0.5 }),
    ],
  },
  {
    id: 'calls',
    title: 'calls within one process',
    arms: {
      bare: 'bare async call',
      'in-process': 'port call in-process',
      guarded: 'port call in-process, guarded',
      library: 'the same policies of the library alone',
      loopback: 'port call over loopback',
    },
    columns: [{ figure: 'usPerCall', title: 'µs/call', digits: 2 }],
    checks: [
      {
        text: 'µs of a port call in-process over a bare call, guards off',
        atMost: 1,
        of: (figureOf) => figureOf('in-process', 'usPerCall') - figureOf('bare', 'usPerCall'),
      },
      {
        text: 'over a bare call: guarded port call / the library alone',
        atMost: 1.5,
        of: (figureOf) =>
          (figureOf('guarded', 'usPerCall') - figureOf('bare', 'usPerCall')) /
          (figureOf('library', 'usPerCall') - figureOf('bare', 'usPerCall')),
      },
      {
        text: 'what guards add to a port call / what the library adds to a bare call',
        of: (figureOf) =>
          (figureOf('guarded', 'usPerCall') - figureOf('in-process', 'usPerCall')) /
          (figureOf('library', 'usPerCall') - figureOf('bare', 'usPerCall')),
      },
      {
        text: 'µs that encoding, checking and decoding cost: loopback over in-process',
        of: (figureOf) => figureOf('loopback', 'usPerCall') - figureOf('in-process', 'usPerCall'),
      },
    ],
  },
];
