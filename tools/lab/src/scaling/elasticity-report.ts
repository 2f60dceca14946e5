import type { Experiment, Run, SeriesPoint } from '../results.js';
import { OBJECTIVE } from './capacity.js';
import type { Elastic } from './elasticity.js';
import { CPUS_AN_INSTANCE, PANEL_OF } from './fleet.js';

/** Declared before the run. */
const BACK_SECONDS_MAX = 10;

const NOT_BACK = 'not back before less was asked for';

/** Of the overloads that a decision answered. */
function backsOf(overloads: Elastic['overloads']): Array<number | null> {
  return overloads.flatMap(({ backSeconds }) => (backSeconds === undefined ? [] : [backSeconds]));
}

export function elasticityExperiment(done: readonly Elastic[]): Experiment {
  // Of the replicas no such thing is expected: what moved is not found until it is written again.
  const ofServices = done.filter(({ arm }) => arm === 'services-scaled');
  const slow = ofServices.flatMap(({ arm, demand, overloads }) =>
    backsOf(overloads)
      .filter((each) => each === null || each > BACK_SECONDS_MAX)
      .map((each) => `${arm}, ${demand}: ${each === null ? NOT_BACK : `${each.toFixed(1)} s`}`),
  );
  return {
    id: 'elasticity',
    title: 'Elasticity',
    claim: 'Services scale each part by itself, so they follow lopsided demand more cheaply.',
    expectation: `Back at the objective within ${BACK_SECONDS_MAX} s of a decision; the services add gateways for reads and hardly caches; the replicas by key lose sight of keys whenever their number changes, as nobody moves their data.`,
    caveat: `Demand is in multiples of what one instance could do in the same run, and what is needed of it as if each further instance added as much. Each instance has ${CPUS_AN_INSTANCE} CPU from its first instruction on, its start included. The replicas’ log is private: a key that moves to another replica is answered with 404 there, which counts as bad. One run each, no verdict.`,
    runs: done.map(runOf),
    contrasts: [],
    findings: done.map(finding),
    unexpected: [
      ...slow.map((each) => `back at the objective later than ${BACK_SECONDS_MAX} s after a decision (${each})`),
      ...done.flatMap(({ arm, demand, failures }) => failures.map((failure) => `${arm}, ${demand}: ${failure}`)),
      ...done.flatMap(({ arm, demand, ended }) => ended.map((each) => `${arm}, ${demand}: ${each}`)),
    ],
  };
}

function runOf(
  { needed, block, arm, demand, ofOne, perPool, offered, good, cpuMsPer1000Good, memoryBytesAtEnd, series, overloads, disturbed }: Elastic,
  order: number,
): Run {
  const measures = Object.entries(perPool).flatMap(([pool, { measures = {} }]) =>
    Object.entries(measures).map(([name, value]) => [`${pool}.${name}`, value] as const),
  );
  const backs = backsOf(overloads);
  return {
    block,
    order,
    arm: PANEL_OF[arm],
    label: `${demand}, ${arm}`,
    valid: disturbed === undefined,
    metrics: {
      ofOneGoodPerSecond: ofOne,
      goodShare: good / offered,
      cpuMsPer1000Good,
      memoryBytesAtEnd,
      secondsMissed: series.filter((point) => total(point.good) < total(point.offered) * OBJECTIVE.goodShareMin).length,
      notBack: backs.filter((each) => each === null).length,
      ...(backs.length > 0 && !backs.includes(null) && { backSecondsMax: Math.max(...backs.map(Number)) }),
      ...Object.fromEntries(measures),
    },
    series,
    instances: { needed, ...Object.fromEntries(Object.entries(perPool).map(([pool, { supply }]) => [pool, supply])) },
  };
}

/** What is no figure of the table. */
function finding({ arm, demand, perPool, changes, overloads, offered, outcomes, disturbed }: Elastic): string {
  const pools = Object.entries(perPool).map(([pool, { supply }]) => {
    const [outs, ins] = ['out', 'in'].map((kind) => changes.filter((each) => each.pool === pool && each.decision.kind === kind).length);
    return `${pool}s ${outs} out, ${ins} in, ${supply.reduce((sum, each) => sum + each, 0)} instance-seconds`;
  });
  const missed = overloads.map(({ fromSecond, toSecond, backSeconds }) => {
    const when = `second ${fromSecond} to ${toSecond ?? 'the end'}`;
    if (backSeconds === undefined) return `${when}, with no decision to scale out`;
    return `${when}, ${backSeconds === null ? NOT_BACK : `back ${backSeconds.toFixed(1)} s after the decision`}`;
  });
  const back = missed.length === 0 ? 'the objective was never missed' : `the objective was missed from ${missed.join('; from ')}`;
  const bad = Object.entries(outcomes).flatMap(([name, count]) => (name !== 'good' && count > 0 ? [`${name} ${count}`] : []));
  return `${demand}, ${arm}: ${offered} requests${bad.length > 0 ? ` (${bad.join(', ')})` : ', all good'}; ${pools.join('; ')}; ${back}.${disturbed === undefined ? '' : ` Disturbed: ${disturbed}.`}`;
}

function total(counts: SeriesPoint['good']): number {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}
