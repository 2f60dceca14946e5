import type { ArmName, PanelPart } from './support/panels.js';
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
  /** Of several deployments of an arm, which one. Default: the plain one. */
  readonly over?: 'cluster';
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
const WITHOUT: Readonly<Record<PanelPart, Fates>> = {
  monolith: all('fails'),
  gateway: all('fails'),
  cache: only('fails', ['hit', 'miss'], 'survives'),
  log: only('survives', ['hit', 'health'], 'fails'),
  nats: only('survives', ['health'], 'fails'),
};

const goneFor = (part: PanelPart): Fates => WITHOUT[part];
/** A part that comes back by itself within the time that is looked at. */
const interrupted = (part: PanelPart): Fates =>
  Object.fromEntries(
    CAPABILITIES.map((capability) => [capability, WITHOUT[part][capability] === 'fails' ? 'interrupted' : 'survives']),
  ) as Fates;

const EVERY_PART: ReadonlyArray<readonly [ArmName, Exclude<PanelPart, 'nats'>]> = [
  ['monolith', 'monolith'],
  ['services', 'gateway'],
  ['services', 'cache'],
  ['services', 'log'],
];
const BROKER_FREE = 'the monolith has no broker and no wire between its parts';
const NO_DISK: Fates = only('fails', ['put', 'delete'], 'survives');

/** One row for each fault and arm. Rows of one name look at the same injection. */
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
    { name: 'monolith', arm: 'monolith', expected: all('interrupted'), because: 'there is one of it' },
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
  starved: EVERY_PART.map(([arm, part]) => ({ name: part, arm, expected: goneFor(part), because: 'it lives, and does next to nothing' })),
  slowDisk: [
    { name: 'monolith', arm: 'monolith', expected: all('survives'), because: 'who waits for the disk waits in no thread that others need' },
    { name: 'log', arm: 'services', expected: all('survives'), because: 'writes are late by 200 ms and more, and within the second' },
  ],
  stuckDisk: [
    { name: 'monolith', arm: 'monolith', expected: NO_DISK, because: 'a write is answered when it is on the disk, and not before' },
    { name: 'log', arm: 'services', expected: NO_DISK, because: 'a write is answered when it is on the disk, and not before' },
  ],
  poison: EVERY_PART.map(([arm, part]) => ({ name: part, arm, expected: all('survives'), because: 'what cannot be read is refused' })),
  retryStorm: [
    { name: 'monolith', arm: 'monolith', expected: goneFor('monolith') },
    { name: 'cache', arm: 'services', expected: goneFor('cache') },
    { name: 'log', arm: 'services', expected: goneFor('log'), because: 'what still works is not drowned by what is asked again' },
  ],
  coldCache: [
    { name: 'monolith', arm: 'monolith', expected: interrupted('monolith'), because: 'its cache goes only with all of it' },
    { name: 'cache', arm: 'services', expected: interrupted('cache'), because: 'the cache alone is started anew' },
  ],
  leak: EVERY_PART.map(([arm, part]) => ({ name: part, arm, expected: interrupted(part), because: 'the engine starts it again' })),
  brokerOfThreeKilled: [
    { name: 'one broker', arm: 'monolith', expected: all('survives'), because: BROKER_FREE },
    {
      name: 'one broker',
      arm: 'services',
      over: 'cluster',
      expected: all('survives'),
      because: 'its clients go to the others within eight seconds; a cache was away for three in one run',
    },
  ],
  brokerOfThreeCutOff: [
    { name: 'one broker', arm: 'monolith', expected: all('survives'), because: BROKER_FREE },
    {
      name: 'one broker',
      arm: 'services',
      over: 'cluster',
      expected: all('survives'),
      because: 'its clients take it for gone after three pings, and go to the others within eight seconds',
    },
  ],
} as const satisfies Record<string, ReadonlyArray<Outage & { name: PanelPart | 'every part' | 'one broker' }>>;

export type FaultName = keyof typeof OUTAGES;

/** From the end of a fault, or the beginning of one that heals by itself, until all is well. Longer where something has to start. */
export const WELL_WITHIN_MS: Readonly<Partial<Record<FaultName, number>> & { others: number }> = {
  killed: 8_000,
  killedOneOfThree: 8_000,
  longWithoutLog: 8_000,
  brokerKilled: 8_000,
  rollingRestart: 20_000,
  outOfMemory: 15_000,
  coldCache: 15_000,
  leak: 20_000,
  others: 5_000,
};

/** Right answers within a second, of all requests from the beginning on: the first second, and the seconds until clients have moved, are in it. */
export function goodputOf(expected: Fates): [least: number, most: number] {
  const share = (...fates: readonly Fate[]) => CAPABILITIES.filter((each) => fates.includes(expected[each])).length / CAPABILITIES.length;
  return [share('survives') * 0.75, share('survives', 'interrupted') + 0.15];
}

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
  starved: 'CPU starvation: a thousandth of a core',
  slowDisk: 'slow disk: 200 ms a sync',
  stuckDisk: 'disk slower than users wait: 2 s a sync',
  poison: 'poison: messages that cannot be read',
  retryStorm: 'frozen while users ask again at once',
  coldCache: 'cold cache under a stampede',
  leak: 'leak to the limit',
  brokerOfThreeKilled: 'one of three brokers killed',
  brokerOfThreeCutOff: 'one of three brokers cut off',
};
