import { systemClock } from '@diptych/kernel';
import { coreTimes, type Cores } from '@diptych/testing';
import { generatorGate, stolen } from '../gates.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan, Stream } from '../load/schedule.js';
import type { SeriesPoint } from '../results.js';
import type { Fleet, FleetUse } from './fleet.js';

/** The objective, the same for every arm and number of instances: 99 of 100 requests answered rightly within the deadline. */
export const OBJECTIVE = { goodShareMin: 0.99, deadlineMs: 250 } as const;

/**
 * When the generator is not believed. It shares its core with the arm, and time counts from the scheduled moment: when it is late an arm looks worse and never
 * better, and up to a fifth of the deadline that is let pass.
 */
export const GENERATOR_BOUNDS = { latenessP99MsMax: OBJECTIVE.deadlineMs / 5, sentShareMin: 0 } as const;

/**
 * How the highest rate that meets the objective is looked for. Each rate is offered until two of its tries met the objective or three missed it:
 * a pause of a tenth of a second, as the quota makes of a collection of garbage, is enough for one miss. A miss of a machine that hindered it is not
 * counted, so many times a rate.
 */
export const SEARCH = {
  firstRatePerInstance: 1_000,
  factor: 1.4,
  halvings: 2,
  stepSeconds: 4,
  triesMet: 2,
  triesMissed: 3,
  hinderedTriesMax: 3,
  valueBytes: 1_024,
  connections: 512,
} as const;

/** One rate, offered for some seconds. */
export interface Step {
  readonly ratePerSecond: number;
  readonly goodPerSecond: number;
  readonly goodShare: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly cpuMsPer1000Good: number;
  readonly memoryBytes: number;
  /** Of each process, the share of its quota that it used (of a core, where it has none), and of its periods in which it was stopped. */
  readonly parts: readonly PartUse[];
  /** Busy share of all cores that the lab may use. */
  readonly machineBusy: number;
  /** What makes its figures wrong; undefined: nothing. */
  readonly disturbed: string | undefined;
  /** What made the arm look worse than it is: the generator was late, a hypervisor took time away; undefined: nothing. */
  readonly hindered: string | undefined;
  readonly series: readonly SeriesPoint[];
}

export interface PartUse {
  readonly name: string;
  readonly pool: FleetUse['pool'];
  readonly usedShare: number;
  readonly throttledShare: number | undefined;
  readonly throttledPeriods: number | undefined;
}

export function meets({ goodShare }: Pick<Step, 'goodShare'>): boolean {
  return goodShare >= OBJECTIVE.goodShareMin;
}

/** Offers a rate for some seconds and says what came of it. */
export type Offer = (ratePerSecond: number, seconds: number) => Promise<Step>;

/**
 * Raises the rate by a factor until the objective is missed, then halves the interval (on the scale of ratios) some times. A hiccup is no limit, so
 * a rate is met when two tries say so and missed when three do, and a hindered miss is at first not counted; and since what an overload left behind is
 * no part of the next step, half of the first rate is offered after a miss, and before all, until it is answered well.
 *
 * @returns every step that counts; the capacity is that of the best rate that was met
 */
export async function search(first: number, offer: Offer): Promise<Step[]> {
  const steps: Step[] = [];
  const settle = async () => {
    for (let i = 0; i < SETTLING_MAX && !meets(await offer(Math.round(first / 2), 1)); i++);
  };
  const isMet = async (rate: number) => {
    for (const tries = { met: 0, missed: 0, hindered: 0 }; ;) {
      const step = await offer(Math.round(rate), SEARCH.stepSeconds);
      steps.push(step);
      if (!meets(step)) await settle();
      if (!meets(step) && step.hindered !== undefined && ++tries.hindered <= SEARCH.hinderedTriesMax) continue;
      if (meets(step) ? ++tries.met === SEARCH.triesMet : ++tries.missed === SEARCH.triesMissed) return meets(step);
    }
  };
  await settle();
  let [met, missed] = [0, first];
  while (await isMet(missed)) [met, missed] = [missed, missed * SEARCH.factor];
  // Even the first was too much: down, until one is not.
  for (let rate = first / SEARCH.factor; met === 0 && rate >= first / 20; rate /= SEARCH.factor) {
    if (await isMet(rate)) met = rate;
    else missed = rate;
  }
  for (let i = 0; i < SEARCH.halvings && met > 0; i++) {
    const middle = Math.sqrt(met * missed);
    if (await isMet(middle)) met = middle;
    else missed = middle;
  }
  return steps;
}

const SETTLING_MAX = 15;

/** The last step of the highest rate that was met. */
export function best(steps: readonly Step[]): Step | undefined {
  return ratesOf(steps)
    .filter(({ met }) => met)
    .at(-1)?.last;
}

/** The rates that were offered, lowest first: whether each was met in the end, the last step that says so, and all of its tries. */
function ratesOf(steps: readonly Step[]): Array<{ met: boolean; last: Step; tries: readonly Step[] }> {
  return [...Map.groupBy(steps, ({ ratePerSecond }) => ratePerSecond)]
    .sort(([a], [b]) => a - b)
    .map(([, tries]) => {
      const last = tries.at(-1)!;
      return { met: meets(last), last, tries };
    });
}

/**
 * Why a search is not to be believed: a figure is wrong, or too few of the misses of the rate that ended it were of a machine that did not hinder it;
 * undefined: nothing.
 */
export function doubtOf(steps: readonly Step[]): string | undefined {
  const disturbed = steps.find((step) => step.disturbed !== undefined)?.disturbed;
  if (disturbed !== undefined) return disturbed;
  const misses =
    ratesOf(steps)
      .find(({ met }) => !met)
      ?.tries.filter((step) => !meets(step)) ?? [];
  const hindered = misses.filter((step) => step.hindered !== undefined);
  return misses.length - hindered.length < SEARCH.triesMissed ? hindered[0]?.hindered : undefined;
}

/** From this share of its quota on, or when it was stopped in this share of its periods, an instance is at its bound: the rest goes to what a period's end cuts off. */
const SATURATED_SHARE = 0.85;
const STOPPED_SHARE = 0.4;
const MACHINE_BUSY_SHARE = 0.95;

/**
 * What ended the growth, by the lowest rate that missed the objective: the part with the fullest instance, if that was at its bound, else the machine, else
 * nothing that was measured. One is enough to miss it: by key, nobody else can answer for it, and its requests are more than the objective lets pass.
 */
export function bottleneck(steps: readonly Step[]): string {
  const step = ratesOf(steps).find(({ met }) => !met)?.last;
  if (!step) return 'the objective was never missed';
  const fullest = step.parts.filter(({ pool }) => pool !== 'balancer').sort((a, b) => b.usedShare - a.usedShare)[0];
  if (!fullest) return 'nothing that was measured';
  const words = fullnessOf(fullest, step);
  if (fullest.usedShare >= SATURATED_SHARE || (fullest.throttledShare ?? 0) >= STOPPED_SHARE) return words;
  if (step.machineBusy >= MACHINE_BUSY_SHARE)
    return `the machine (${percent(step.machineBusy)} of its cores busy; fullest of the arm: ${words})`;
  return `nothing near its bound; fullest is ${words}`;
}

function fullnessOf({ pool, usedShare, throttledShare }: PartUse, { parts }: Step): string {
  const all = parts.filter((part) => part.pool === pool);
  const stopped = throttledShare === undefined ? '' : `, stopped in ${percent(throttledShare)} of its periods`;
  const used = `${percent(usedShare)} of its share${stopped}`;
  if (all.length === 1) return `${pool} (1, ${used})`;
  return `${pool} (the fullest of ${all.length}: ${used}; ${percent(all.reduce((sum, part) => sum + part.usedShare, 0) / all.length)} on average)`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

export interface OfferOptions {
  readonly seed: number;
  readonly streams: readonly Stream[];
  readonly cores: Cores | undefined;
  readonly signal: AbortSignal;
}

const SEEDS_A_FLEET = 1_000;

/** Offers rates to a fleet and measures what comes of them. `name` begins the names of its runs, which are its own. */
export function offerTo(fleet: Fleet, name: string, options: OfferOptions): Offer {
  let number = 0;
  // Each try has arrivals of its own: the same ones would only repeat what chance did.
  return (ratePerSecond, seconds) =>
    offerOnce(fleet, `${name}-${number}`, { ratePerSecond, seconds, ...options, seed: options.seed * SEEDS_A_FLEET + number++ });
}

async function offerOnce(
  fleet: Fleet,
  id: string,
  { ratePerSecond, seconds, seed, streams, cores, signal }: OfferOptions & { ratePerSecond: number; seconds: number },
): Promise<Step> {
  signal.throwIfAborted();
  const { valueBytes, connections } = SEARCH;
  const plan: LoadPlan = {
    id,
    baseUrl: fleet.url,
    seed,
    seconds,
    ratePerSecond,
    streams,
    valueBytes,
    timeoutMs: OBJECTIVE.deadlineMs,
    connections,
    mode: 'open',
  };
  const looks: Array<Promise<readonly FleetUse[]>> = [];
  const atMs: number[] = [];
  const busy: Array<ReturnType<typeof coreTimes>> = [];
  const look = () => {
    const looking = fleet.use();
    // Waited for below, when the load is over.
    looking.catch(() => undefined);
    looks.push(looking);
    atMs.push(systemClock.nowMs());
    busy.push(coreTimes());
  };
  const load = await runLoad(plan, { cores, signal, onPhase: look });
  signal.throwIfAborted();
  const [begun = [], ended = []] = await Promise.all(looks);
  const parts = partsUse(begun, ended, atMs[1]! - atMs[0]!);
  const cpuMs = ended.reduce((sum, { name, cpuMs }) => sum + cpuMs - (begun.find((each) => each.name === name)?.cpuMs ?? 0), 0);
  const [before, after] = busy;
  const memoryBytes = await fleet.memoryBytes();
  return {
    ratePerSecond,
    goodPerSecond: load.good / seconds,
    goodShare: load.offered === 0 ? 0 : load.good / load.offered,
    p50Ms: load.latency.p50Ms,
    p90Ms: load.latency.p90Ms,
    cpuMsPer1000Good: (cpuMs / Math.max(1, load.good)) * 1000,
    memoryBytes,
    parts,
    machineBusy: before && after ? (after.busyMs - before.busyMs) / (after.totalMs - before.totalMs) : Number.NaN,
    disturbed: notHeld(parts) ?? (Number.isNaN(memoryBytes) ? 'a process could not be asked for its memory' : undefined),
    hindered: generatorGate(load, GENERATOR_BOUNDS) ?? (before && after && stolen(before, after)),
    series: load.series,
  };
}

/** Of those that were there at both looks. */
export function partsUse(before: readonly FleetUse[], after: readonly FleetUse[], elapsedMs: number): PartUse[] {
  return after.flatMap(({ name, pool, cpus, cpuMs, throttling }) => {
    const was = before.find((each) => each.name === name);
    if (!was) return [];
    const periods = throttling && was.throttling ? throttling.periods - was.throttling.periods : undefined;
    const throttled = throttling && was.throttling ? throttling.throttled - was.throttling.throttled : undefined;
    const throttledShare = periods && throttled !== undefined ? throttled / periods : throttled;
    return [{ name, pool, usedShare: (cpuMs - was.cpuMs) / (elapsedMs * (cpus ?? 1)), throttledShare, throttledPeriods: throttled }];
  });
}

/** Beyond its quota no instance gets, but for what a period at each end lets through: else there was none. */
const HELD_SHARE_MAX = 1.05;

function notHeld(parts: readonly PartUse[]): string | undefined {
  const free = parts.find(({ throttledPeriods, usedShare }) => throttledPeriods !== undefined && usedShare > HELD_SHARE_MAX);
  return free && `${free.name} used ${percent(free.usedShare)} of its quota, so it was not held to it`;
}
