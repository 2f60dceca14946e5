import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seedFromEnv } from '@diptych/testing';
import { all, DRAIN_MS, drivenInTests, START_MS } from '../../test/made-up-fleet.js';
import type { InstanceSignals } from './decide.js';
import { UsedSoFar } from './fleet.js';
import { ELASTIC } from './policy.js';

const FULL: InstanceSignals = { eventLoopUtilization: 1, cpuShare: 1, inFlight: 64, queueingDelayMs: 30 };
const IDLE: InstanceSignals = { eventLoopUtilization: 0.05, cpuShare: 0.05, inFlight: 1, queueingDelayMs: 1 };

describe('the autoscaler', () => {
  const driven = drivenInTests();

  it('takes one out first that the balancer does not reach', async () => {
    const { clock, fleet, stop } = driven(3, all(IDLE));
    fleet.down.add('replica-2');
    await clock.advanceAsync(60_000);
    expect(fleet.journal.filter((each) => each.endsWith('drains'))[0]).toMatch(/replica-2 drains$/);
    await stop();
  });

  it('starts more under load, drains the youngest when it ebbs, and tells of each when it is done', async () => {
    const { clock, fleet, autoscaling, changed } = driven(1, (instances, nowMs) => {
      // As much as two can do, for half a minute.
      const share = nowMs < 30_000 ? Math.min(1, 1.1 / instances.length) : 0.1;
      return instances.map(() => ({ ...IDLE, eventLoopUtilization: share, cpuShare: share }));
    });
    await clock.advanceAsync(90_000);
    const [out] = fleet.journal;
    expect(out).toMatch(/replica-2 starts$/);
    expect(changed().map(({ kind, from, to }) => `${kind} ${from} ${to}`)).toEqual(['out 1 2', 'in 2 1']);
    expect(fleet.journal.map((line) => line.replace(/^.*: /, ''))).toEqual([
      'replica-2 starts',
      'replica-2 serves',
      'replica-2 drains',
      'replica-2 is gone',
    ]);
    const took = autoscaling.changes.map(({ decision, decidedWallMs, doneWallMs }) => [decision.kind, doneWallMs - decidedWallMs]);
    expect(took).toEqual([
      ['out', START_MS],
      ['in', DRAIN_MS],
    ]);
    expect(autoscaling.supply.map(({ instances }) => instances)).toEqual([1, 2, 1]);
    expect(autoscaling.failures).toEqual([]);
    await autoscaling.stop();
    expect(clock.pending).toBe(0);
  });

  it('does not ask twice for what is on its way', async () => {
    const { clock, fleet, stop } = driven(1, all({ eventLoopUtilization: 1 }));
    await clock.advanceAsync(START_MS);
    expect(fleet.journal).toEqual(['1: replica-2 starts']);
    await stop();
  });

  it('never decides the opposite within the window, and keeps within its bounds, whatever comes, fails, ends or stands still', async () => {
    const shares = fc.array(fc.constantFrom(0.05, 0.3, 0.6, 0.9, 1), { minLength: 60, maxLength: 60 });
    const ends = fc.array(fc.nat(59), { maxLength: 3 });
    const downs = fc.array(fc.tuple(fc.nat(59), fc.integer({ min: 1, max: 12 })), { maxLength: 4 });
    const property = fc.asyncProperty(shares, ends, downs, fc.integer({ min: 2, max: 20 }), async (shareOf, endsAt, downsAt, failsFrom) => {
      const { clock, fleet, changed, stop } = driven(1, (instances, nowMs) => {
        const share = shareOf[Math.min(59, Math.floor(nowMs / 1_000))]!;
        return instances.map(() => ({ ...IDLE, eventLoopUtilization: share, cpuShare: share, inFlight: 40 * share }));
      });
      fleet.failsFrom = failsFrom;
      for (let second = 0; second < 60; second++) {
        if (endsAt.includes(second) && fleet.serving('replica').length > 0) fleet.end(fleet.serving('replica')[0]!.name);
        for (const [at, number] of downsAt) if (at === second) fleet.down.add(`replica-${number}`);
        await clock.advanceAsync(1_000);
        expect(fleet.serving('replica').length).toBeLessThanOrEqual(ELASTIC.instancesMax);
      }
      await stop();
      const decided = changed().filter(({ kind }) => kind !== 'replace');
      for (const { to } of decided) expect(to >= ELASTIC.instancesMin && to <= ELASTIC.instancesMax).toBe(true);
      for (const [i, { kind, atMs }] of decided.entries())
        for (const later of decided.slice(i + 1))
          if (later.kind !== kind) expect(later.atMs - atMs).toBeGreaterThanOrEqual(ELASTIC.windowMs);
    });
    await fc.assert(property, { seed: seedFromEnv(), numRuns: 20 });
  });

  it('says that an instance did not start, keeps its place for another, and has all when they start again', async () => {
    const { clock, fleet, autoscaling, stop } = driven(1, all(FULL));
    fleet.failsFrom = 2;
    await clock.advanceAsync(30_000);
    expect(autoscaling.failures[0]).toBe(
      'Error: replica-2 exited (code 2) before it was ready; 1 in a row did not last, so the next starts in 1.0 s',
    );
    // Whoever never served has not ended by itself.
    expect(autoscaling.failures.filter((failure) => failure.includes('ended'))).toEqual([]);
    expect(fleet.serving('replica')).toHaveLength(1);
    fleet.failsFrom = Infinity;
    await clock.advanceAsync(30_000);
    expect(fleet.serving('replica')).toHaveLength(ELASTIC.instancesMax);
    await stop();
  });

  it('replaces one that ends by itself, at once and also within the window of a scale-in', async () => {
    const { clock, fleet, autoscaling, changed } = driven(3, all({ ...IDLE, eventLoopUtilization: 0.26 }));
    await clock.advanceAsync(20_000);
    // Three are one more than it takes.
    expect(changed().map(({ kind }) => kind)).toEqual(['in']);
    fleet.end('replica-1');
    await clock.advanceAsync(2_000);
    expect(changed().at(-1)).toMatchObject({ kind: 'replace', from: 1, to: 2, why: '1 replica fewer than there are to be: 1 to 2' });
    expect(autoscaling.failures).toEqual(['replica-1 ended without being told to']);
    await clock.advanceAsync(START_MS);
    expect(fleet.serving('replica').map(({ name }) => name)).toEqual(['replica-2', 'replica-4']);
    expect(autoscaling.supply.map(({ instances }) => instances)).toEqual([3, 2, 1, 2]);
    await autoscaling.stop();
  });

  it('takes nothing away when what it would have taken away has ended by itself meanwhile', async () => {
    let slow: () => void = () => undefined;
    let asked = 0;
    const { clock, fleet, autoscaling } = driven(2, async (instances) => {
      // The reading by which it scales in takes so long that one of the two ends meanwhile.
      if (++asked === 1) await new Promise<void>((resolve) => (slow = resolve));
      return instances.map(() => IDLE);
    });
    await clock.advanceAsync(1_500);
    expect(asked).toBe(1);
    fleet.end('replica-1');
    slow();
    await clock.advanceAsync(20_000);
    expect(fleet.serving('replica').map(({ name }) => name)).toEqual(['replica-2']);
    expect(fleet.journal).toEqual([]);
    await autoscaling.stop();
  });

  it('stops in the middle of a reading: decides nothing by it', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { clock, fleet, autoscaling } = driven(1, async () => {
      await promise;
      return [FULL];
    });
    await clock.advanceAsync(1_500);
    const stopped = autoscaling.stop();
    resolve();
    await stopped;
    expect(fleet.journal).toEqual([]);
  });

  it('stops in the middle of a start: waits for it, and decides no more', async () => {
    const { clock, fleet, autoscaling } = driven(1, all({ eventLoopUtilization: 1 }));
    await clock.advanceAsync(1_500);
    expect(fleet.journal).toEqual(['1: replica-2 starts']);
    let isStopped = false;
    const stopped = autoscaling.stop().then(() => (isStopped = true));
    await clock.advanceAsync(START_MS / 2);
    expect(isStopped).toBe(false);
    await clock.advanceAsync(START_MS);
    await stopped;
    expect(autoscaling.changes).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });
});

it('what a process has used is never less than it said before, and never unknown, when it can no longer be asked', () => {
  const used = new UsedSoFar();
  expect([used.of('a', 100), used.of('a', 0), used.of('a', undefined), used.of('b', undefined)]).toEqual([100, 100, 100, 0]);
  used.keep('a');
  expect(used.byWhatIsGoneMs).toBe(100);
});
