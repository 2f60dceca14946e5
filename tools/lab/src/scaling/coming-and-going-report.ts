import type { Experiment, Run } from '../results.js';
import { OBJECTIVE } from './capacity.js';
import { CAUSES, COMING_AND_GOING, type Comings, type Strike } from './coming-and-going.js';
import { CPUS_AN_INSTANCE, PANEL_OF } from './fleet.js';

const RECOVERY_MS_MAX = 2_000;
const SHARE_OFF_MAX = 0.2;

export function comingAndGoingExperiment(done: readonly Comings[]): Experiment {
  return {
    id: 'coming-and-going',
    title: 'Coming and going',
    claim: 'What holds no state of its own can come and go unnoticed; what does takes it along.',
    expectation: `The services lose no request and no acknowledged write in ${COMING_AND_GOING.cycles} cycles; the replicas lose what only the one that left knew. Survivors of a kill share within ${SHARE_OFF_MAX * 100} % of equally, and all is well ${RECOVERY_MS_MAX / 1000} s after it.`,
    caveat: `Each instance is held to ${CPUS_AN_INSTANCE} of a core by a control group. At ${COMING_AND_GOING.ratePerSecond} requests a second, far from any bound. A request without a right answer within ${COMING_AND_GOING.timeoutMs / 1000} s is lost, by the strike if it was under way then or later. The replicas’ logs are private and nobody moves or copies their data: that is the experiment, and why a load balancer’s affinity is no durability.`,
    runs: done.map(runOf),
    contrasts: [],
    findings: done.map(finding),
    unexpected: done.flatMap(unexpectedOf),
  };
}

function runOf({ what, arm, offered, good, durability, series, strike, disturbed }: Comings, order: number): Run {
  const lost = durability.lost.length;
  return {
    block: 0,
    order,
    arm: PANEL_OF[arm],
    label: `${CAUSES[what].words}, ${arm}`,
    valid: disturbed === undefined,
    metrics: {
      requestsLost: offered - good,
      acknowledgedWrites: durability.acknowledged,
      acknowledgedKeys: durability.acknowledgedKeys,
      // What the replicas lose is what they promise: only the services promise that nothing is.
      ...(arm === 'services-scaled' ? { acknowledgedWritesLost: lost } : { writesOnlyTheGoneKnew: lost }),
      phantomValues: durability.phantom.length,
      refusedWritesDone: durability.invented.length,
      unreadKeys: durability.unread.length,
      ...(strike && {
        recoveryMs: strike.recoveryMs,
        slowUntilMs: strike.slowUntilMs,
        lostByStrike: strike.bad,
        shareOffMax: shareOffOf(strike),
      }),
    },
    series,
  };
}

function shareOffOf({ shares }: Strike): number {
  return Math.max(...Object.values(shares).map((share) => Math.abs(share - 1)));
}

function finding({ what, arm, offered, good, outcomes, durability, missed, strike }: Comings): string {
  const bad = Object.entries(outcomes).filter(([name, count]) => name !== 'good' && name !== 'pending' && count > 0);
  const writes = `the last acknowledged write of ${durability.lost.length} of ${durability.acknowledgedKeys} keys lost (${durability.acknowledged} writes)`;
  const by = bad.length > 0 ? ` (${bad.map(([name, count]) => `${name} ${count}`).join(', ')})` : '';
  const between = missed?.between ? `, ${missed.between} of them while no instance came or went` : '';
  if (!strike)
    return `${arm}, ${CAUSES[what].words} under load: ${offered - good} of ${offered} requests without a right answer${by}${between}; ${writes}.`;
  const shares = Object.entries(strike.shares).map(([name, share]) => `${name} ${(share * 100).toFixed(0)} %`);
  const last = strike.bad === 0 ? '' : `, the last of them sent ${(strike.recoveryMs / 1000).toFixed(1)} s after`;
  const before = strike.badBefore === 0 ? '' : `; ${strike.badBefore} more before it`;
  const slow =
    strike.slowUntilMs === 0
      ? ''
      : `; the last without a right answer within ${OBJECTIVE.deadlineMs} ms sent ${(strike.slowUntilMs / 1000).toFixed(1)} s after`;
  const absent = strike.absentReads > 0 ? `; ${strike.absentReads} reads of keys that only that one knew were answered 404` : '';
  return `${arm}, ${CAUSES[what].words} (${strike.proof}): ${strike.bad} requests lost${by}${last}${before}${slow}${absent}; survivors have ${shares.join(', ')} of an equal share; ${writes}.`;
}

function unexpectedOf({ what, arm, offered, good, strike, ended }: Comings): string[] {
  const lost = what === 'cycles' && arm === 'services-scaled' ? offered - good : 0;
  const late = what === 'kill' && strike !== undefined && strike.recoveryMs > RECOVERY_MS_MAX;
  const off = strike === undefined ? 0 : shareOffOf(strike);
  return [
    ...ended.map((each) => `${arm}, ${CAUSES[what].words}: ${each}`),
    ...(lost > 0 ? [`${arm}: ${lost} requests lost in ${CAUSES[what].words}`] : []),
    ...(late ? [`${arm}: bad answers until ${(strike.recoveryMs / 1000).toFixed(1)} s after the kill`] : []),
    ...(off > SHARE_OFF_MAX ? [`${arm}, ${CAUSES[what].words}: the share of a survivor is ${(off * 100).toFixed(0)} % off`] : []),
  ];
}
