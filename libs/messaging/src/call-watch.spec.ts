import { DeadlineWheel, type DiptychError } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { describe, expect, it } from 'vitest';
import { CallWatch, WatchedCall } from './call-watch.js';

class Call extends WatchedCall {
  ended: DiptychError[] = [];
  override end(error: DiptychError): void {
    this.ended.push(error);
  }
}

function watching() {
  const clock = new FakeClock();
  const wheel = new DeadlineWheel({ clock });
  const watch = new CallWatch({ clock, wheel });
  return { clock, wheel, watch };
}

describe('CallWatch', () => {
  it('ends a call at its deadline, never sooner and at most two ticks later', () => {
    for (const deadlineMs of [0.5, 1, 4.9, 5, 12, 777, 60_000]) {
      const { clock, watch, wheel } = watching();
      const call = new Call('p.m', { deadlineMs });
      watch.add(call);
      let endedAtMs: number | undefined;
      while (call.ended.length === 0 && clock.nowMs() < deadlineMs + 100) {
        clock.advance(0.5);
        endedAtMs = clock.nowMs();
      }
      expect(call.ended.map(({ code }) => code)).toEqual(['DEADLINE_EXCEEDED']);
      expect(endedAtMs).toBeGreaterThanOrEqual(deadlineMs);
      expect(endedAtMs! - deadlineMs).toBeLessThanOrEqual(10.5);
      clock.advance(100);
      expect([call.ended.length, wheel.size, clock.pending]).toEqual([1, 0, 0]);
    }
  });

  it('never puts a call that settles at once on the wheel, and stops its own timer when nothing is new for 50 ms', () => {
    const { clock, watch, wheel } = watching();
    for (let round = 0; round < 3; round++) {
      const calls = Array.from({ length: 5 }, () => new Call('p.m', { deadlineMs: clock.nowMs() + 50 }));
      calls.forEach((call) => watch.add(call));
      for (const i of [2, 0, 4, 1, 3]) watch.release(calls[i]!);
      clock.advance(5);
      expect([wheel.size, clock.pending]).toEqual([0, 1]);
      clock.advance(45);
      expect([wheel.size, clock.pending]).toEqual([0, 0]);
      clock.advance(1_000);
      expect(calls.flatMap(({ ended }) => ended)).toEqual([]);
    }
  });

  it('looks rarely while all have much time, and soon again when one has not', () => {
    const { clock, watch, wheel } = watching();
    const patient = new Call('p.m', { deadlineMs: 10_000 });
    watch.add(patient);
    clock.advance(99);
    expect(wheel.size).toBe(0);
    const hasty = new Call('p.m', { deadlineMs: clock.nowMs() + 2 });
    watch.add(hasty);
    clock.advance(10);
    expect(hasty.ended.map(({ code }) => code)).toEqual(['DEADLINE_EXCEEDED']);
    clock.advance(200);
    expect(wheel.size).toBe(1);
    clock.advance(10_000);
    expect(patient.ended.map(({ code }) => code)).toEqual(['DEADLINE_EXCEEDED']);
    expect(clock.pending).toBe(0);
  });

  it('ends a call when its signal aborts, before and after it has got its listener, once', () => {
    for (const afterMs of [0, 5, 20]) {
      const { clock, watch, wheel } = watching();
      const controller = new AbortController();
      const call = new Call('p.m', { deadlineMs: 1_000, signal: controller.signal });
      watch.add(call);
      clock.advance(afterMs);
      controller.abort('why');
      clock.advance(10);
      expect(call.ended).toMatchObject([{ code: 'CANCELLED', definite: false, cause: 'why' }]);
      clock.advance(2_000);
      expect([call.ended.length, wheel.size, clock.pending]).toEqual([1, 0, 0]);
    }
  });

  it('lets go of a call in any state, also twice', () => {
    const { clock, watch, wheel } = watching();
    const controller = new AbortController();
    const call = new Call('p.m', { deadlineMs: 100, signal: controller.signal });
    watch.add(call);
    clock.advance(20);
    expect(wheel.size).toBe(1);
    watch.release(call);
    watch.release(call);
    controller.abort();
    clock.advance(1_000);
    expect([call.ended.length, wheel.size, clock.pending]).toEqual([0, 0, 0]);
  });
});
