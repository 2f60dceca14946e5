import { coreTimes, type Cores } from '@diptych/testing';
import { generatorGate } from '../gates.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan, Stream } from '../load/schedule.js';
import type { SeriesPoint } from '../results.js';
import type { Fleet, FleetUse } from './fleet.js';

/** The objective, the same for every arm and number of instances: 99 of 100 requests answered rightly within the deadline. */
export const OBJECTIVE = { goodShareMin: 0.99, deadlineMs: 250 } as const;

/** How the highest rate that meets the objective is looked for. */
export const SEARCH = { firstRatePerInstance: 200, factor: 1.4, halvings: 2, stepSeconds: 4, valueBytes: 1_024, connections: 512 } as const;

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
  /** What was wrong with generator or machine; undefined: nothing. */
  readonly disturbed: string | undefined;
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

/**
 * Raises the rate by a factor until the objective is missed, then halves the interval (on the scale of ratios) some times.
 *
 * @param probe offers a rate and says what came of it
 * @returns every step that was made; the capacity is that of the best one that met the objective
 */
export async function search(first: number, probe: (ratePerSecond: number) => Promise<Step>): Promise<Step[]> {
  const steps: Step[] = [];
  const tryRate = async (rate: number) => {
    steps.push(await probe(Math.round(rate)));
    return meets(steps.at(-1)!);
  };
  let [passed, failed] = [0, first];
  while (await tryRate(failed)) [passed, failed] = [failed, failed * SEARCH.factor];
  // Even the first was too much: down, until one is not.
  for (let rate = first / SEARCH.factor; passed === 0 && rate >= first / 20; rate /= SEARCH.factor) {
    if (await tryRate(rate)) passed = rate;
    else failed = rate;
  }
  for (let i = 0; i < SEARCH.halvings && passed > 0; i++) {
    const middle = Math.sqrt(passed * failed);
    if (await tryRate(middle)) passed = middle;
    else failed = middle;
  }
  return steps;
}

/** The step of most good requests a second among those that met the objective. */
export function best(steps: readonly Step[]): Step | undefined {
  return steps
    .filter(meets)
    .reduce<Step | undefined>((most, step) => (most && most.goodPerSecond >= step.goodPerSecond ? most : step), undefined);
}

/** From this share of its quota on, a process is what stops the others: the rest goes to what a period's end cuts off. */
const SATURATED_SHARE = 0.85;
const MACHINE_BUSY_SHARE = 0.95;

/**
 * What ended the growth, by the steps that missed the objective: the first part whose instances together used up their quota, else the machine, else
 * nothing that was measured.
 */
export function bottleneck(steps: readonly Step[]): string {
  const failed = steps.filter((step) => !meets(step)).sort((a, b) => a.ratePerSecond - b.ratePerSecond);
  const step = failed[0];
  if (!step) return 'the objective was never missed';
  const pools = [...Map.groupBy(step.parts, ({ pool }) => pool)].map(([pool, parts]) => {
    return { pool, share: parts.reduce((sum, { usedShare }) => sum + usedShare, 0) / parts.length, count: parts.length };
  });
  const fullest = pools.sort((a, b) => b.share - a.share)[0]!;
  const used = `${(fullest.share * 100).toFixed(0)} % of its share`;
  if (fullest.share >= SATURATED_SHARE) return `${fullest.pool} (${fullest.count}, ${used}${throttledWords(step, fullest.pool)})`;
  if (step.machineBusy >= MACHINE_BUSY_SHARE)
    return `the machine (${(step.machineBusy * 100).toFixed(0)} % of its cores busy; fullest of the arm: ${fullest.pool}, ${used})`;
  return `nothing near its bound on average: ${fullest.pool} is fullest with ${used}${throttledWords(step, fullest.pool)}`;
}

function throttledWords({ parts }: Step, pool: FleetUse['pool']): string {
  const of = parts.filter((part) => part.pool === pool).flatMap(({ throttledShare }) => throttledShare ?? []);
  return of.length === 0
    ? ''
    : `, stopped in ${((of.reduce((sum, share) => sum + share, 0) / of.length) * 100).toFixed(0)} % of its periods`;
}

export interface ProbeOptions {
  readonly seed: number;
  readonly streams: readonly Stream[];
  readonly cores: Cores | undefined;
  readonly signal: AbortSignal;
}

/** Offers one rate to a fleet and measures it. */
export async function probe(
  fleet: Fleet,
  id: string,
  ratePerSecond: number,
  { seed, streams, cores, signal }: ProbeOptions,
): Promise<Step> {
  signal.throwIfAborted();
  const { stepSeconds: seconds, valueBytes, connections } = SEARCH;
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
  const begun: { use?: readonly FleetUse[]; cores?: ReturnType<typeof coreTimes> } = {};
  const ended: typeof begun = {};
  const look = (into: typeof begun) => Object.assign(into, { use: fleet.use(), cores: coreTimes() });
  const load = await runLoad(plan, { cores, signal, onPhase: (phase) => look(phase === 'sending' ? begun : ended) });
  signal.throwIfAborted();
  const parts = partsUse(begun.use!, ended.use!, seconds * 1000);
  const cpuMs = ended.use!.reduce((sum, { name, cpuMs }) => sum + cpuMs - (begun.use!.find((each) => each.name === name)?.cpuMs ?? 0), 0);
  const [before, after] = [begun.cores, ended.cores];
  return {
    ratePerSecond,
    goodPerSecond: load.good / seconds,
    goodShare: load.offered === 0 ? 0 : load.good / load.offered,
    p50Ms: load.latency.p50Ms,
    p90Ms: load.latency.p90Ms,
    cpuMsPer1000Good: (cpuMs / Math.max(1, load.good)) * 1000,
    memoryBytes: fleet.memoryBytes(),
    parts,
    machineBusy: before && after ? (after.busyMs - before.busyMs) / (after.totalMs - before.totalMs) : Number.NaN,
    disturbed: generatorGate(load),
    series: load.series,
  };
}

function partsUse(before: readonly FleetUse[], after: readonly FleetUse[], elapsedMs: number): PartUse[] {
  return after.flatMap(({ name, pool, cpus, cpuMs, throttling }) => {
    const was = before.find((each) => each.name === name);
    if (!was) return [];
    const periods = throttling && was.throttling ? throttling.periods - was.throttling.periods : undefined;
    const throttled = throttling && was.throttling ? throttling.throttled - was.throttling.throttled : undefined;
    const throttledShare = periods && throttled !== undefined ? throttled / periods : throttled;
    return [{ name, pool, usedShare: (cpuMs - was.cpuMs) / (elapsedMs * (cpus ?? 1)), throttledShare, throttledPeriods: throttled }];
  });
}
