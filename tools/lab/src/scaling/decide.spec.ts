import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seedFromEnv } from '@diptych/testing';
import { decide, NOTHING_DECIDED, SIGNALS, type Decision, type FleetSignals, type InstanceSignals, type ScalingPolicy } from './decide.js';
import { ELASTIC } from './policy.js';

describe('the autoscaler decides', () => {
  const busy = (share: number, instances: number): FleetSignals => ({
    serving: Array.from({ length: instances }, () => ({ eventLoopUtilization: share })),
    starting: 0,
    absent: 0,
  });
  const simple: ScalingPolicy = {
    ...ELASTIC,
    targets: { eventLoopUtilization: 0.5 },
    outWindowMs: 0,
    coolDownOutMs: 0,
    instancesMax: 10,
    stepOutMin: 1,
  };
  const once = (fleet: FleetSignals, policy = simple) => decide(policy, NOTHING_DECIDED, fleet, 0).decision;

  it('as many as bring the mean to its target', () => expect(once(busy(0.9, 2))).toMatchObject({ kind: 'out', from: 2, to: 4 }));
  it('nothing within the tolerance', () => expect(once(busy(0.54, 4)).kind).toBe('none'));
  it('at most twice as many at a time, and says where it is going', () => {
    const policy: ScalingPolicy = { ...simple, targets: { queueingDelayMs: 1 } };
    const { to, why } = once({ serving: [{ queueingDelayMs: 9 }], starting: 0, absent: 0 }, policy);
    expect([to, why]).toEqual([2, 'queueingDelayMs 9 of 1 asks for 9: 1 to 2, on the way to 9']);
  });
  it('by the signal that asks for most', () => {
    const policy: ScalingPolicy = { ...simple, targets: { eventLoopUtilization: 0.5, inFlight: 10 } };
    expect(once({ serving: [{ eventLoopUtilization: 0.1, inFlight: 19 }], starting: 0, absent: 0 }, policy).to).toBe(2);
  });
  it('nothing less while something is starting', () => {
    const idle = [{ eventLoopUtilization: 0.01 }, { eventLoopUtilization: 0.01 }];
    expect([0, 1].map((starting) => once({ serving: idle, starting, absent: 0 }).kind)).toEqual(['in', 'none']);
  });
  it('nothing more while what it asked for is starting', () =>
    expect(once({ serving: [{ eventLoopUtilization: 0.9 }], starting: 1, absent: 0 }).kind).toBe('none'));
  it('nothing more while one that is absent comes back or is replaced, and says so', () => {
    const { kind, why } = once({ ...busy(0.7, 2), absent: 1 });
    expect([kind, why]).toEqual(['none', 'eventLoopUtilization 0.7 of 0.5 asks for 3; 1 absent: 3 it stays']);
    expect(once(busy(0.7, 2)).kind).toBe('out');
  });
  it('to do without one that is absent where those that serve are enough, but not when none serves', () => {
    expect(once({ ...busy(0.1, 2), absent: 1 })).toMatchObject({ kind: 'in', from: 3, to: 1 });
    expect(once({ ...busy(0, 0), absent: 2 })).toMatchObject({ kind: 'none', from: 2, to: 2 });
  });
  it('not to scale in while an instance does not say how it is', () => {
    expect(once(busy(0.1, 2)).kind).toBe('in');
    expect(once({ serving: [{ eventLoopUtilization: 0.1 }, {}], starting: 0, absent: 0 }).kind).toBe('none');
  });
  it('not by one reading, where a short window has to agree', () => {
    const policy = { ...simple, outWindowMs: 3_000 };
    const calm = decide(policy, NOTHING_DECIDED, busy(0.5, 2), 0);
    const spike = decide(policy, calm.state, busy(1, 2), 1_000);
    expect(spike.decision).toMatchObject({ kind: 'none', why: expect.stringContaining('the last 3000 ms do not agree on 4') });
    const still = decide(policy, spike.state, busy(1, 2), 3_000);
    expect(still.decision.kind).toBe('out');
  });
});

describe('whatever the instances say, the autoscaler', () => {
  const sized = fc.integer({ min: 1, max: 4 }).chain((instancesMin) =>
    fc.record({
      instancesMin: fc.constant(instancesMin),
      instancesMax: fc.integer({ min: instancesMin, max: instancesMin + 8 }),
      targets: fc.record({ eventLoopUtilization: fc.constantFrom(0.4, 0.6, 0.8), inFlight: fc.constantFrom(4, 32) }, { requiredKeys: [] }),
      tolerance: fc.constantFrom(0, 0.1),
      inAtShareOfTarget: fc.constantFrom(0.5, 0.8, 1),
      outWindowMs: fc.constantFrom(0, 3_000),
      windowMs: fc.constantFrom(5_000, 15_000),
      coolDownOutMs: fc.constantFrom(0, 6_000),
      coolDownInMs: fc.constantFrom(0, 8_000),
      stepOutFactor: fc.constantFrom(1.5, 2),
      stepOutMin: fc.constantFrom(1, 4),
    }),
  );
  const signals: fc.Arbitrary<InstanceSignals> = fc.record(
    { eventLoopUtilization: fc.double({ min: 0, max: 1, noNaN: true }), inFlight: fc.integer({ min: 0, max: 500 }) },
    { requiredKeys: [] },
  );
  /** What each of up to twelve instances would say at each of some moments, how long it is from one moment to the next, and how many are unhealthy then. */
  const days = fc.array(
    fc.tuple(fc.array(signals, { minLength: 12, maxLength: 12 }), fc.integer({ min: 0, max: 9_000 }), fc.constantFrom(0, 0, 0, 1, 2, 12)),
    { minLength: 1, maxLength: 40 },
  );
  const play = (policy: ScalingPolicy, day: ReadonlyArray<readonly [readonly InstanceSignals[], number, number]>): Decision[] => {
    let state = NOTHING_DECIDED;
    let [instances, nowMs] = [policy.instancesMin, 0];
    return day.map(([said, laterMs, unhealthy]) => {
      nowMs += laterMs;
      const absent = Math.min(unhealthy, instances);
      const decided = decide(policy, state, { serving: said.slice(absent, instances), starting: 0, absent }, nowMs);
      state = decided.state;
      instances = decided.decision.to;
      return decided.decision;
    });
  };

  it('never goes below the minimum nor above the maximum', () => {
    const property = fc.property(sized, days, (policy, day) => {
      for (const { to } of play(policy, day)) expect(to >= policy.instancesMin && to <= policy.instancesMax).toBe(true);
    });
    fc.assert(property, { seed: seedFromEnv() });
  });

  it('never decides the opposite within the stabilization window', () => {
    const property = fc.property(sized, days, (policy, day) => {
      const changes = play(policy, day).filter(({ kind }) => kind !== 'none');
      for (const [i, { kind, atMs }] of changes.entries())
        for (const later of changes.slice(i + 1))
          if (later.kind !== kind) expect(later.atMs - atMs).toBeGreaterThanOrEqual(policy.windowMs);
    });
    fc.assert(property, { seed: seedFromEnv() });
  });

  it('never asks for fewer when there is more load', () => {
    const more = fc.record({
      eventLoopUtilization: fc.double({ min: 0, max: 0.5, noNaN: true }),
      inFlight: fc.integer({ min: 0, max: 99 }),
    });
    const property = fc.property(sized, days, fc.array(more, { minLength: 12, maxLength: 12 }), (policy, day, added) => {
      const [last, ...then] = day.at(-1)!;
      const busier = last.map((said, i) =>
        Object.fromEntries(
          SIGNALS.flatMap((name) => (said[name] === undefined ? [] : [[name, said[name] + (added[i]![name as 'inFlight'] ?? 0)]])),
        ),
      );
      const as = (said: readonly InstanceSignals[]) => play(policy, [...day.slice(0, -1), [said, ...then]]).at(-1)!.to;
      expect(as(busier)).toBeGreaterThanOrEqual(as(last));
    });
    fc.assert(property, { seed: seedFromEnv() });
  });

  it('counts on one that is unhealthy as on one that starts: it never asks for more of those', () => {
    const property = fc.property(sized, days, fc.nat(4), (policy, day, away) => {
      const serving = day.at(-1)![0];
      const to = (fleet: Omit<FleetSignals, 'serving'>) => decide(policy, NOTHING_DECIDED, { serving, ...fleet }, 0).decision.to;
      const [absent, starting] = [to({ absent: away, starting: 0 }), to({ absent: 0, starting: away })];
      expect(absent).toBeLessThanOrEqual(starting);
      if (absent > serving.length + away) expect(absent).toBe(starting);
    });
    fc.assert(property, { seed: seedFromEnv() });
  });

  it('says why', () => {
    const property = fc.property(sized, days, (policy, day) => {
      for (const { why, from, to } of play(policy, day)) expect(why).toContain(from === to ? `: ${from}` : `${from} to ${to}`);
    });
    fc.assert(property, { seed: seedFromEnv() });
  });
});
