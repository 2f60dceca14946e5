import type { Experiment, Run } from '../results.js';
import { COMING_AND_GOING, type Comings, type Kill } from './coming-and-going.js';
import { PANEL_OF } from './fleet.js';

const RECOVERY_MS_MAX = 2_000;
const SHARE_OFF_MAX = 0.2;

export function comingAndGoingExperiment(done: readonly Comings[]): Experiment {
  return {
    id: 'coming-and-going',
    title: 'Coming and going',
    claim: 'What holds no state of its own can come and go unnoticed; what does takes it along.',
    expectation: `The services lose no request and no acknowledged write in ${COMING_AND_GOING.cycles} cycles; the replicas lose what only the one that left knew. Survivors of a kill share within ${SHARE_OFF_MAX * 100} % of equally, and all is well ${RECOVERY_MS_MAX / 1000} s after it.`,
    caveat: `At ${COMING_AND_GOING.ratePerSecond} requests a second, far from any bound. A request without a right answer within ${COMING_AND_GOING.timeoutMs / 1000} s is lost. The replicas’ logs are private and nobody moves or copies their data: that is the experiment, and why a load balancer’s affinity is no durability.`,
    runs: done.map(runOf),
    contrasts: [],
    findings: done.map(finding),
    unexpected: done.flatMap(unexpectedOf),
  };
}

function runOf({ what, arm, offered, good, durability, series, kill }: Comings, order: number): Run {
  const lost = durability.lost.length;
  return {
    block: 0,
    order,
    arm: PANEL_OF[arm],
    label: `${what === 'cycles' ? `${COMING_AND_GOING.cycles} cycles` : 'one of three killed'}, ${arm}`,
    valid: true,
    metrics: {
      requestsLost: offered - good,
      acknowledgedWrites: durability.acknowledged,
      // What the replicas lose is what they promise: only the services promise that nothing is.
      ...(arm === 'services-scaled' ? { acknowledgedWritesLost: lost } : { writesOnlyTheGoneKnew: lost }),
      phantomValues: durability.phantom.length,
      unreadKeys: durability.unread.length,
      ...(kill && { recoveryMs: kill.recoveryMs, shareOffMax: shareOffOf(kill) }),
    },
    series,
  };
}

function shareOffOf({ shares }: Kill): number {
  return Math.max(...Object.values(shares).map((share) => Math.abs(share - 1)));
}

function finding({ arm, cycles, offered, good, outcomes, durability, kill }: Comings): string {
  const bad = Object.entries(outcomes).filter(([name, count]) => name !== 'good' && name !== 'pending' && count > 0);
  const writes = `${durability.lost.length} of ${durability.acknowledged} acknowledged writes lost`;
  const lost = `${offered - good} of ${offered} requests without a right answer${bad.length > 0 ? ` (${bad.map(([name, count]) => `${name} ${count}`).join(', ')})` : ''}`;
  if (!kill) return `${arm}, ${cycles} cycles out and in under load: ${lost}; ${writes}.`;
  const shares = Object.entries(kill.shares).map(([name, share]) => `${name} ${(share * 100).toFixed(0)} %`);
  return `${arm}, one of three killed (${kill.proof}): ${kill.bad} requests lost, the last of them ${(kill.recoveryMs / 1000).toFixed(1)} s after the kill${kill.absentReads > 0 ? `; ${kill.absentReads} reads of keys that only the dead one knew were answered 404` : ''}; survivors have ${shares.join(', ')} of an equal share; ${writes}.`;
}

function unexpectedOf({ what, arm, offered, good, kill }: Comings): string[] {
  return [
    ...(what === 'cycles' && arm === 'services-scaled' && good < offered
      ? [`${arm}: ${offered - good} requests lost in ${COMING_AND_GOING.cycles} cycles`]
      : []),
    ...(kill && kill.recoveryMs > RECOVERY_MS_MAX
      ? [`${arm}: bad answers until ${(kill.recoveryMs / 1000).toFixed(1)} s after the kill`]
      : []),
    ...(kill && shareOffOf(kill) > SHARE_OFF_MAX ? [`${arm}: a survivor's share is ${(shareOffOf(kill) * 100).toFixed(0)} % off`] : []),
  ];
}
