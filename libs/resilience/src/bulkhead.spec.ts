import type { CallContext } from '@diptych/kernel';
import { DiptychError, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { probe, probePort } from '../test/probe-port.js';
import type { GuardOptions } from './guard-options.js';
import { DEFAULT_GUARDS } from './guard-options.js';
import type { WatchedGuards } from './guard-watch.js';
import { guard } from './guard.js';

/** A part whose calls end when the test says so. */
function setUp(bulkhead: { concurrentMax: number; queueMax: number }, more: GuardOptions = {}) {
  const clock = new FakeClock();
  const running: Array<{ n: number; end: (error?: unknown) => void }> = [];
  const watched: WatchedGuards[] = [];
  const part = probe(({ n }) => {
    const { promise, resolve, reject } = Promise.withResolvers<{ n: number }>();
    running.push({ n, end: (error) => (error === undefined ? resolve({ n }) : reject(error)) });
    return promise;
  });
  const port = guard(probePort, part, { ...more, bulkhead, clock, metrics: { add: (guards) => void watched.push(guards) } });
  const outcomes = new Map<number, unknown>();
  let calls = 0;
  const call = (context: CallContext = within(5_000, { clock })) => {
    const n = calls++;
    port.get({ n }, context).then(
      () => outcomes.set(n, 'answered'),
      (error: unknown) => outcomes.set(n, error),
    );
    return n;
  };
  return { clock, running, outcomes, call, guards: () => watched[0]!, settled: () => clock.advanceAsync(0) };
}

describe('bulkhead', () => {
  it('lets so many through, so many wait, and refuses the rest at once', async () => {
    const { running, outcomes, call, guards, settled } = setUp({ concurrentMax: 2, queueMax: 3 });
    for (let i = 0; i < 6; i++) call();
    await settled();
    expect(running.map(({ n }) => n)).toEqual([0, 1]);
    expect(guards().bulkhead).toMatchObject({ inFlight: 2, queued: 3, refusals: 1 });
    expect([...outcomes.keys()]).toEqual([5]);
    expect(outcomes.get(5)).toMatchObject({ code: 'OVERLOADED', definite: true, retryAfterMs: 100, part: 'probe' });
    while (running.length > 0) {
      running.shift()!.end();
      await settled();
      expect(running.length).toBeLessThanOrEqual(2);
    }
    for (let n = 0; n < 5; n++) expect(outcomes.get(n)).toBe('answered');
    expect(guards().bulkhead).toMatchObject({ inFlight: 0, queued: 0 });
  });

  it('tells those in line when their time is up or they give up, definite, and never calls for them', async () => {
    const { clock, running, outcomes, call, guards, settled } = setUp({ concurrentMax: 1, queueMax: 10 });
    const caller = new AbortController();
    const [first, late, gone, last] = [call(), call(within(100, { clock })), call(within(5_000, { clock, signal: caller.signal })), call()];
    await settled();
    caller.abort();
    await clock.advanceAsync(150, 5);
    expect(outcomes.get(late)).toMatchObject({ code: 'DEADLINE_EXCEEDED', definite: true });
    expect(outcomes.get(gone)).toMatchObject({ code: 'CANCELLED', definite: true });
    running.shift()!.end();
    await settled();
    expect(running.map(({ n }) => n)).toEqual([last]);
    running.shift()!.end();
    await settled();
    expect([outcomes.get(first), outcomes.get(last)]).toEqual(['answered', 'answered']);
    expect(guards().bulkhead).toMatchObject({ inFlight: 0, queued: 0 });
    expect(clock.pending).toBe(0);
  });

  it('does not let a call in line go to a part whose circuit has opened meanwhile', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const breaker = { ...DEFAULT_GUARDS.breaker, callsMin: 1, patienceMs: 0 };
      const { running, outcomes, call, settled } = setUp({ concurrentMax: 1, queueMax: 10 }, { breaker });
      for (let n = 0; n < 4; n++) call();
      await settled();
      running.shift()!.end(new DiptychError('UNAVAILABLE', 'gone'));
      await settled();
      // The next in line begins in the very moment in which the one before ends, before anybody could learn from it.
      expect(running.map(({ n }) => n)).toEqual([1]);
      running.shift()!.end();
      await settled();
      expect(running).toEqual([]);
      expect(outcomes.get(0)).toMatchObject({ code: 'UNAVAILABLE' });
      for (const n of [2, 3]) expect(outcomes.get(n)).toMatchObject({ code: 'CIRCUIT_OPEN' });
    } finally {
      vi.useRealTimers();
    }
  });

  it('never has more under way than it may, and ends every call once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 4 }),
        fc.array(fc.constantFrom('call', 'end', 'fail', 'turn', 'time'), { maxLength: 80 }),
        async (concurrentMax, queueMax, steps) => {
          const { clock, running, outcomes, call, guards, settled } = setUp({ concurrentMax, queueMax });
          let calls = 0;
          for (const step of steps) {
            if (step === 'call') calls = call(within(50, { clock })) + 1;
            if (step === 'end') running.shift()?.end();
            if (step === 'fail') running.pop()?.end(new DiptychError('UNAVAILABLE', 'gone'));
            if (step === 'turn') await settled();
            if (step === 'time') await clock.advanceAsync(20, 5);
            expect(running.length).toBeLessThanOrEqual(concurrentMax);
          }
          for (await settled(); running.length > 0; await settled()) running.shift()!.end();
          expect(outcomes.size).toBe(calls);
          expect(guards().bulkhead).toMatchObject({ inFlight: 0, queued: 0 });
          expect(clock.pending).toBe(0);
        },
      ),
      { seed: seedFromEnv(), numRuns: 40 },
    );
  });
});
