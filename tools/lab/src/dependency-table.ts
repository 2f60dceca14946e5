/**
 * Which capability needs which part, in each arm: written before the first run, and held against what the runs show. Where
 * reality differs the run says so; then this table is wrong, or the system is.
 */
export type ArmName = 'monolith' | 'monolith-threads' | 'services';
export type PartName = 'monolith' | 'gateway' | 'cache' | 'log' | 'nats';
export type Capability = 'hit' | 'miss' | 'put' | 'delete' | 'list' | 'report' | 'health';

export const CAPABILITIES: readonly Capability[] = ['hit', 'miss', 'put', 'delete', 'list', 'report', 'health'];

type Needs = Readonly<Record<Capability, readonly PartName[]>>;

const everything = ['monolith'] as const;

/** In one process, of however many threads: one that ends by itself ends the process. */
const oneProcess: Needs = {
  hit: everything,
  miss: everything,
  put: everything,
  delete: everything,
  list: everything,
  report: everything,
  health: everything,
};

export const NEEDS: Readonly<Record<ArmName, Needs>> = {
  monolith: oneProcess,
  'monolith-threads': oneProcess,
  services: {
    hit: ['gateway', 'nats', 'cache', 'log'],
    miss: ['gateway', 'nats', 'cache', 'log'],
    put: ['gateway', 'nats', 'log'],
    delete: ['gateway', 'nats', 'log'],
    list: ['gateway', 'nats', 'log'],
    report: ['gateway', 'nats', 'log'],
    health: ['gateway'],
  },
};

/** For how long a cache in a process of its own answers from memory without the log: `DIPTYCH_CACHE_MAX_STALE_MS` as it is by default. */
export const CACHE_MAX_STALE_SECONDS = 5;

/** What outlives a part that it needs, and for how many seconds only. */
export const OUTLIVES: ReadonlyArray<{ arm: ArmName; capability: Capability; killed: PartName; seconds: number }> = [
  { arm: 'services', capability: 'hit', killed: 'log', seconds: CACHE_MAX_STALE_SECONDS },
];

/** A stretch of a part's absence, in seconds since it went, and what is expected of a capability in it. */
export interface Absence {
  readonly fromSecond: number;
  readonly toSecond: number;
  readonly expected: 'survives' | 'fails';
  /** In words, where it is not the whole absence. */
  readonly when?: string;
}

export function expectedWithout(killed: PartName, arm: ArmName, capability: Capability): readonly Absence[] {
  const whole = { fromSecond: 0, toSecond: Number.POSITIVE_INFINITY };
  if (!NEEDS[arm][capability].includes(killed)) return [{ ...whole, expected: 'survives' }];
  const outlives = OUTLIVES.find((each) => each.arm === arm && each.capability === capability && each.killed === killed);
  if (!outlives) return [{ ...whole, expected: 'fails' }];
  const { seconds } = outlives;
  return [
    { ...whole, toSecond: seconds, expected: 'survives', when: `first ${seconds} s` },
    { ...whole, fromSecond: seconds, expected: 'fails', when: `after ${seconds} s` },
  ];
}
