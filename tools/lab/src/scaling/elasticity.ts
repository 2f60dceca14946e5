import { join } from 'node:path';
import { profile } from '@diptych/testing';
import { generatorGate } from '../gates.js';
import { fill, warm } from '../load/fill.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan, RateStretch, Stream } from '../load/schedule.js';
import { YCSB_B, ZIPF_KEYS } from '../load/workloads.js';
import type { SeriesPoint } from '../results.js';
import { Autoscaling, type Change } from './autoscaling.js';
import { BALANCER_BOUNDS } from './balancer.js';
import { best, doubtOf, GENERATOR_BOUNDS, meets, OBJECTIVE, offerTo, search, SEARCH } from './capacity.js';
import { bySecond, elasticityOf, overloadsOf, type Elasticity, type Overload } from './elasticity-measures.js';
import { CPUS_AN_INSTANCE, crashesOf, SCALED_ARMS, type Pool, type ScaledArmName } from './fleet.js';
import { ELASTIC, REPLACEMENT } from './policy.js';
import type { ScalingLab } from './scaling-lab.js';
import { recordUse } from './use-record.js';

/** In multiples of what one instance can do at the objective: measured first, in each run. */
interface Stretch {
  readonly seconds: number;
  readonly of: number;
}

const ramp = (from: number, to: number, seconds: number, steps: number): Stretch[] =>
  Array.from({ length: steps }, (_, i) => ({ seconds: seconds / steps, of: from + ((to - from) * (i + 0.5)) / steps }));

/** Clearly more than one can do, and no more than the cores of a small machine can: at 1.7 the one cache, generator and balancer were at their limits as well. */
const BEYOND_ONE = 1.4;

/** A ramp, an ebb, and a spike that comes at once. */
const RAMP_AND_SPIKE: readonly Stretch[] = [
  { seconds: 10, of: 0.4 },
  ...ramp(0.4, BEYOND_ONE, 20, 10),
  { seconds: 15, of: BEYOND_ONE },
  ...ramp(BEYOND_ONE, 0.4, 10, 5),
  { seconds: 30, of: 0.4 },
  { seconds: 25, of: BEYOND_ONE },
  { seconds: 40, of: 0.4 },
];
const LOPSIDED: readonly Stretch[] = [
  { seconds: 8, of: 0.4 },
  { seconds: 25, of: BEYOND_ONE },
  { seconds: 30, of: 0.4 },
];

const keys = ZIPF_KEYS;

/** What is asked for, and how much of it. */
const DEMANDS: Readonly<Record<string, { readonly streams: readonly Stream[]; readonly stretches: readonly Stretch[] }>> = {
  'ramp, spike, ebb': { streams: YCSB_B, stretches: RAMP_AND_SPIKE },
  'reads only': { streams: [{ capability: 'hit', share: 100, keys }], stretches: LOPSIDED },
  'writes only': { streams: [{ capability: 'put', share: 100, keys }], stretches: LOPSIDED },
};

export const ELASTICITY = {
  arms: ['monolith-replicas', 'services-scaled'],
  demands: DEMANDS,
  policy: ELASTIC,
  replacement: REPLACEMENT,
  objective: OBJECTIVE,
  generator: GENERATOR_BOUNDS,
  cpusAnInstance: CPUS_AN_INSTANCE,
  balancer: BALANCER_BOUNDS,
} as const;

/** One arm under one demand, from one instance of each part. */
export interface Elastic {
  readonly block: number;
  readonly arm: ScaledArmName;
  readonly demand: string;
  /** Good requests a second of one instance at the objective. */
  readonly ofOne: number;
  /** What is needed is known of those behind the balancer alone, so only they have measures of it. */
  readonly perPool: Readonly<Partial<Record<Pool, { readonly supply: readonly number[]; readonly measures?: Elasticity }>>>;
  readonly needed: readonly number[];
  readonly changes: readonly Change[];
  readonly overloads: readonly Overload[];
  readonly offered: number;
  readonly good: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly cpuMsPer1000Good: number;
  readonly memoryBytesAtEnd: number;
  readonly series: readonly SeriesPoint[];
  readonly failures: readonly string[];
  /** Instances that ended without being told to, in words. */
  readonly ended: readonly string[];
  readonly disturbed: string | undefined;
}

/** Both arms under each demand, scaled by decisions on their live signals. */
export async function elasticity(lab: ScalingLab): Promise<Elastic[]> {
  const done: Elastic[] = [];
  for (let block = 0; block < lab.blocks; block++)
    for (const arm of ELASTICITY.arms)
      for (const demand of Object.keys(DEMANDS)) {
        lab.signal.throwIfAborted();
        const { measured, disturbed } = await lab.watched(() => run(lab, block, arm, demand));
        done.push({ ...measured, disturbed: measured.disturbed ?? disturbed });
        lab.keep(done);
      }
  return done;
}

async function run(lab: ScalingLab, block: number, arm: ScaledArmName, demand: string): Promise<Elastic> {
  lab.progress.step(`block ${block + 1}: ${arm}, ${demand}`, secondsOf(demand));
  const { streams, stretches } = DEMANDS[demand]!;
  const cores = profile().generator;
  const name = `${block}-${arm}-${demand.replaceAll(/\W+/g, '-')}`;
  await using fleet = await lab.startFleet(arm, {});
  await fill(fleet.url, [ZIPF_KEYS], SEARCH.valueBytes, lab.signal);
  await warm(fleet.url, [ZIPF_KEYS], lab.signal);
  fleet.hold();
  const options = { seed: lab.seed + block, streams, cores, signal: lab.signal };
  const steps = await search(SEARCH.firstRatePerInstance, offerTo(fleet, name, options));
  const ofOne = best(steps)?.goodPerSecond;
  if (ofOne === undefined) throw new Error(`${arm}, ${demand}: one instance did not meet the objective at any rate that was tried`);
  const beyond = await offerTo(fleet, `${name}-beyond`, options)(Math.round(ofOne * BEYOND_ONE), SEARCH.stepSeconds);
  const noOverload = meets(beyond) ? `one instance met the objective at ${BEYOND_ONE} times what it was measured to be able to` : undefined;
  const rates: RateStretch[] = stretches.map(({ seconds, of }) => ({ seconds, ratePerSecond: of * ofOne }));
  const seconds = stretches.reduce((sum, each) => sum + each.seconds, 0);
  const plan: LoadPlan = {
    id: name,
    baseUrl: fleet.url,
    seed: lab.seed + block,
    seconds,
    ratePerSecond: Math.max(...rates.map(({ ratePerSecond }) => ratePerSecond)),
    rates,
    streams,
    valueBytes: SEARCH.valueBytes,
    timeoutMs: OBJECTIVE.deadlineMs,
    connections: SEARCH.connections,
    mode: 'open',
  };
  const pools = SCALED_ARMS[arm].pools.filter(({ isScaled }) => isScaled).map(({ pool }) => pool);
  const autoscaling = new Autoscaling(fleet, ELASTIC, pools, { file: join(lab.runDir, `decisions-${name}.jsonl`) });
  const cpuBeforeMs = await fleet.cpuMs();
  autoscaling.start();
  using _recording = recordUse(fleet, join(lab.runDir, `use-${name}.jsonl`));
  const load = await runLoad(plan, { cores, signal: lab.signal }).finally(() => autoscaling.stop());
  lab.signal.throwIfAborted();
  const needed = neededOf(rates, ofOne, seconds);
  const goodShares = load.series.map(({ offered, good }) => total(good) / Math.max(1, total(offered)));
  const outs = autoscaling.changes.filter(({ decision }) => decision.kind === 'out');
  const outSeconds = outs.map(({ decidedWallMs }) => (decidedWallMs - load.startedWallMs) / 1000);
  const ratesBySecond = rates.flatMap(({ seconds: length, ratePerSecond }) => Array.from({ length }, () => ratePerSecond));
  lab.progress.note(`  ${arm}, ${demand}: ${((load.good / load.offered) * 100).toFixed(1)} % good, ${autoscaling.changes.length} changes`);
  return {
    block,
    arm,
    demand,
    ofOne,
    perPool: Object.fromEntries(
      pools.map((pool) => {
        const supply = bySecond(
          autoscaling.supply.filter((each) => each.pool === pool),
          load.startedWallMs,
          seconds,
        );
        return [pool, { supply, ...(pool === SCALED_ARMS[arm].edge && { measures: elasticityOf(needed, supply) }) }];
      }),
    ),
    needed,
    changes: autoscaling.changes,
    overloads: overloadsOf(goodShares, ratesBySecond, outSeconds, OBJECTIVE.goodShareMin),
    offered: load.offered,
    good: load.good,
    outcomes: load.outcomes,
    cpuMsPer1000Good: (((await fleet.cpuMs()) - cpuBeforeMs) / Math.max(1, load.good)) * 1000,
    memoryBytesAtEnd: await fleet.memoryBytes(),
    series: load.series,
    failures: autoscaling.failures,
    ended: crashesOf(fleet, pools),
    disturbed: noOverload ?? generatorGate(load, GENERATOR_BOUNDS) ?? doubtOf(steps),
  };
}

/** The fewest instances that would meet the objective if each added what the first can do; at least one. */
function neededOf(rates: readonly RateStretch[], ofOne: number, seconds: number): number[] {
  const needed: number[] = [];
  for (const { seconds: length, ratePerSecond } of rates)
    for (let i = 0; i < length; i++) needed.push(Math.min(ELASTIC.instancesMax, Math.max(1, Math.ceil(ratePerSecond / ofOne))));
  return needed.slice(0, seconds);
}

function total(counts: SeriesPoint['good']): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}

function secondsOf(demand: string): number {
  return 60 + DEMANDS[demand]!.stretches.reduce((sum, { seconds }) => sum + seconds, 0);
}

export const ELASTICITY_SECONDS = ELASTICITY.arms.length * Object.keys(DEMANDS).reduce((sum, demand) => sum + secondsOf(demand), 0);
