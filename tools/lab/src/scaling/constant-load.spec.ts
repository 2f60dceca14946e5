import { describe, expect, it } from 'vitest';
import { START_MS } from '../../test/made-up-fleet.js';
import { seededRandom, type Random } from '../load/random.js';
import { decide, NOTHING_DECIDED, type Decision, type InstanceSignals, type ScalingPolicy } from './decide.js';
import { ELASTIC, REPLACEMENT, SIGNALS_EVERY_MS } from './policy.js';

/**
 * An hour of a load that does not change, as instances would report it: Poisson arrivals shared out at random, a cost a request that wanders (AR(1), the
 * spread of this project's noisiest quiet machine), a collection or a neighbour that makes a second twice as dear for one instance in a
 * hundred, and one answer in fifty that does not come.
 */
describe('an hour of constant load', () => {
  const seconds = 3_600;
  const seeds = Array.from({ length: 20 }, (_, i) => i + 1);
  const perInstance = 1_000;

  it.each(seeds)('changes nothing, seed %i', (seed) => {
    const random = seededRandom(seed, 'load');
    const ratePerSecond = perInstance * ELASTIC.targets.eventLoopUtilization! * (0.2 + random.unit() * 3.7);
    const needed = Math.ceil(ratePerSecond / (perInstance * ELASTIC.targets.eventLoopUtilization!));
    expect(changes(hour(ELASTIC, ratePerSecond, needed, seed))).toEqual([]);
  });

  it.each(seeds)('changes nothing while one of three or four is unhealthy until it is replaced, every five minutes, seed %i', (seed) => {
    const random = seededRandom(seed, 'load');
    const ratePerSecond = perInstance * ELASTIC.targets.eventLoopUtilization! * (2.2 + random.unit() * 1.7);
    const needed = Math.ceil(ratePerSecond / (perInstance * ELASTIC.targets.eventLoopUtilization!));
    const awaySeconds = (REPLACEMENT.unhealthyGraceMs + START_MS) / 1_000;
    expect(changes(hour(ELASTIC, ratePerSecond, needed, seed, (second) => Number(second % 300 > 300 - awaySeconds)))).toEqual([]);
  });

  it.each(seeds.slice(0, 10))('settles from a wrong number, beyond which it goes at most once, seed %i', (seed) => {
    const random = seededRandom(seed, 'wrong');
    const ratePerSecond = perInstance * ELASTIC.targets.eventLoopUtilization! * (0.2 + random.unit() * 3.7);
    const kinds = changes(hour(ELASTIC, ratePerSecond, 1 + random.below(4), seed)).map(({ kind }) => kind);
    expect(kinds.filter((kind, at) => at > 0 && kind !== kinds[at - 1]).length).toBeLessThan(2);
  });

  it('would change something without tolerance, margin and windows: the noise is not too kind', () => {
    const naive: ScalingPolicy = {
      ...ELASTIC,
      tolerance: 0,
      inAtShareOfTarget: 1,
      outWindowMs: 0,
      windowMs: 0,
      coolDownInMs: 0,
      coolDownOutMs: 0,
    };
    const flapped = seeds.filter((seed) => changes(hour(naive, 1_100, 2, seed)).length > 0);
    expect(flapped).toEqual(seeds);
  });

  function hour(policy: ScalingPolicy, ratePerSecond: number, from: number, seed: number, absentAt = (_second: number) => 0): Decision[] {
    const random = seededRandom(seed, 'noise');
    const wander = new Map<number, number>();
    let instances = from;
    let state = NOTHING_DECIDED;
    const decisions: Decision[] = [];
    for (let second = 1; second <= seconds; second++) {
      const absent = absentAt(second);
      const length = instances - absent;
      const serving = Array.from({ length }, (_, i) => instanceSignals(random, wander, i, ratePerSecond / length));
      const decided = decide(policy, state, { serving, starting: 0, absent }, second * SIGNALS_EVERY_MS);
      decisions.push(decided.decision);
      instances = decided.decision.to;
      state = decided.state;
    }
    return decisions;
  }

  function instanceSignals(random: Random, wander: Map<number, number>, instance: number, mean: number): InstanceSignals {
    const arrivals = mean + Math.sqrt(mean) * normal(random);
    const cost = 0.6 * (wander.get(instance) ?? 0) + 0.06 * normal(random);
    wander.set(instance, cost);
    const dear = random.unit() < 0.01 ? 2 : 1;
    if (random.unit() < 0.02) return {};
    const utilization = Math.min(1, (Math.max(0, arrivals) / perInstance) * Math.max(0.1, 1 + cost) * dear);
    // A queue of one server with Poisson arrivals, bounded as what is in it is.
    const waitingMs = Math.min(500, (utilization / Math.max(0.002, 1 - utilization)) * (1_000 / perInstance));
    return {
      eventLoopUtilization: utilization,
      cpuShare: utilization,
      queueingDelayMs: waitingMs,
      inFlight: (arrivals * (waitingMs + 1)) / 1_000,
    };
  }
});

function changes(decisions: readonly Decision[]): Array<Pick<Decision, 'kind' | 'atMs' | 'why'>> {
  return decisions.filter(({ kind }) => kind !== 'none').map(({ kind, atMs, why }) => ({ kind, atMs, why }));
}

/** Box and Muller. */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.unit())) * Math.cos(2 * Math.PI * random.unit());
}
