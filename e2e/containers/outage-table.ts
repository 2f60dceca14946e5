import type { ArmName, PartName } from './support/panels.js';
import { CAPABILITIES, type Capability } from './support/probes.js';

/*
 * What is expected to outlive what, in each arm: written and committed before the first run. A run in which reality differs, for better or for
 * worse, fails; then this table is wrong, or the system is.
 */

/**
 * What becomes of a capability while the fault lasts (from a second after its beginning):
 *
 *   survives     19 of 20 requests and more are answered rightly
 *   fails        1 of 20 at most
 *   interrupted  neither: it goes and comes back, or works by turns
 */
export type Fate = 'survives' | 'fails' | 'interrupted';
export type Fates = Readonly<Record<Capability, Fate>>;

export interface Outage {
  /** The part that it happens to. */
  readonly name: string;
  readonly arm: ArmName;
  readonly expected: Fates;
  /** Why, where it is not plain. */
  readonly because?: string;
}

const all = (fate: Fate): Fates => Object.fromEntries(CAPABILITIES.map((capability) => [capability, fate])) as Fates;

/** These as they are said, all others the other way. */
function only(fate: Fate, capabilities: readonly Capability[], others: Fate): Fates {
  return { ...all(others), ...Object.fromEntries(capabilities.map((capability) => [capability, fate])) };
}

/** What the services can do without a part, and for how long the cache answers for the log. */
const WITHOUT: Readonly<Record<PartName, Fates>> = {
  monolith: all('fails'),
  gateway: all('fails'),
  cache: only('fails', ['hit', 'miss'], 'survives'),
  log: only('survives', ['hit', 'health'], 'fails'),
  nats: only('survives', ['health'], 'fails'),
};

const goneFor = (part: PartName): Fates => WITHOUT[part];
/** A part that comes back by itself within the time that is looked at. */
const interrupted = (part: PartName): Fates =>
  Object.fromEntries(
    CAPABILITIES.map((capability) => [capability, WITHOUT[part][capability] === 'fails' ? 'interrupted' : 'survives']),
  ) as Fates;

const EVERY_PART: ReadonlyArray<readonly [ArmName, PartName]> = [
  ['monolith', 'monolith'],
  ['services', 'gateway'],
  ['services', 'cache'],
  ['services', 'log'],
];
const BROKER_FREE = 'the monolith has no broker and no wire between its parts';
const NO_DISK: Fates = only('fails', ['put', 'delete'], 'survives');

/** One row for each fault and arm. */
export const OUTAGES = {
  killed: EVERY_PART.map(([arm, part]) => ({ name: part, arm, expected: goneFor(part) })),
  frozen: EVERY_PART.map(([arm, part]) => ({ name: part, arm, expected: goneFor(part) })),
  killedOneOfThree: [{ name: 'cache', arm: 'services', expected: all('survives'), because: 'calls go to the others' }],
  frozenOneOfThree: [
    { name: 'cache', arm: 'services', expected: all('survives'), because: 'calls go to the others, about a second later' },
  ],
  longWithoutLog: [
    {
      name: 'log',
      arm: 'services',
      expected: only('survives', ['health'], 'fails'),
      because: 'after DIPTYCH_CACHE_MAX_STALE_MS the cache no longer answers from memory',
    },
  ],
  brokerKilled: [
    { name: 'nats', arm: 'monolith', expected: all('survives'), because: BROKER_FREE },
    { name: 'nats', arm: 'services', expected: goneFor('nats') },
  ],
  brokerFrozen: [
    { name: 'nats', arm: 'monolith', expected: all('survives'), because: BROKER_FREE },
    { name: 'nats', arm: 'services', expected: goneFor('nats') },
  ],
  slowNetwork: [
    { name: 'log', arm: 'monolith', expected: all('survives'), because: BROKER_FREE },
    { name: 'gateway', arm: 'services', expected: all('survives'), because: 'late by 200 ms and more, and within the second' },
    { name: 'cache', arm: 'services', expected: all('survives'), because: 'late by 200 ms and more, and within the second' },
    { name: 'log', arm: 'services', expected: all('survives'), because: 'late by 200 ms and more, and within the second' },
  ],
  partition: [
    { name: 'log', arm: 'monolith', expected: all('survives'), because: BROKER_FREE },
    { name: 'gateway', arm: 'services', expected: goneFor('nats'), because: 'to a gateway alone, all others are gone' },
    { name: 'cache', arm: 'services', expected: goneFor('cache') },
    { name: 'log', arm: 'services', expected: goneFor('log') },
  ],
  rollingRestart: [
    { name: 'every part', arm: 'monolith', expected: all('interrupted'), because: 'there is one of it' },
    { name: 'every part', arm: 'services', expected: all('interrupted'), because: 'there is one of each, and the gateway is among them' },
  ],
  fullDisk: [
    { name: 'monolith', arm: 'monolith', expected: NO_DISK, because: 'reads need no space' },
    { name: 'log', arm: 'services', expected: NO_DISK, because: 'reads need no space' },
  ],
  outOfMemory: [
    { name: 'monolith', arm: 'monolith', expected: interrupted('monolith'), because: 'the engine starts it again' },
    { name: 'cache', arm: 'services', expected: interrupted('cache'), because: 'the engine starts it again' },
    { name: 'log', arm: 'services', expected: interrupted('log'), because: 'the engine starts it again' },
  ],
} as const satisfies Record<string, ReadonlyArray<Outage & { name: PartName | 'every part' }>>;

export type FaultName = keyof typeof OUTAGES;

/** As the page prints them. */
export const TITLES: Readonly<Record<FaultName, string>> = {
  killed: 'killed (SIGKILL)',
  frozen: 'frozen (pause)',
  killedOneOfThree: 'one of three killed',
  frozenOneOfThree: 'one of three frozen',
  longWithoutLog: 'killed, away for longer than a cache may be stale',
  brokerKilled: 'broker killed',
  brokerFrozen: 'broker frozen',
  slowNetwork: 'slow network: 100 ms each way between a part and the broker',
  partition: 'partition: a part and the broker do not hear each other',
  rollingRestart: 'rolling restart (SIGTERM, one part after the other)',
  fullDisk: 'full disk',
  outOfMemory: 'out of memory',
};
