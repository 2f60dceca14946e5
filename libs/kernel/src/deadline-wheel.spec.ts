import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type CallContext, within } from './call-context.js';
import { DeadlineWheel, settleWithin } from './deadline-wheel.js';
import { FakeClock } from './testing/index.js';

/** Drawn and printed by the run; set it to repeat one. */
const seed = Number(process.env['DIPTYCH_SEED']);

describe('DeadlineWheel', () => {
  it('runs its timer only while something waits', () => {
    const clock = new FakeClock();
    const wheel = new DeadlineWheel({ clock });
    expect(clock.pending).toBe(0);
    const first = wheel.at(100, () => undefined);
    const second = wheel.at(200, () => undefined);
    expect([wheel.size, clock.pending]).toEqual([2, 1]);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect([wheel.size, clock.pending]).toEqual([1, 1]);
    second[Symbol.dispose]();
    expect([wheel.size, clock.pending]).toEqual([0, 0]);
    wheel.at(300, () => undefined);
    clock.advance(310);
    expect([wheel.size, clock.pending]).toEqual([0, 0]);
  });

  it('keeps ten thousand deadlines to the tick, from the past to an hour ahead, on one timer', () => {
    const clock = new FakeClock({ nowMs: 12_345.6 });
    const wheel = new DeadlineWheel({ clock, tickMs: 5 });
    const lateMs: number[] = [];
    for (let index = 0; index < 10_000; index++) {
      const deadlineMs = clock.nowMs() - 100 + ((index * 360.11) % 3_600_100);
      const dueMs = Math.max(deadlineMs, clock.nowMs());
      wheel.at(deadlineMs, () => lateMs.push(clock.nowMs() - dueMs));
    }
    expect(clock.pending).toBe(1);
    clock.advance(3_600_200);
    expect(lateMs).toHaveLength(10_000);
    expect(Math.min(...lateMs)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...lateMs)).toBeLessThanOrEqual(5 + 1e-6);
    expect(clock.pending).toBe(0);
  });

  it('fires all that is due after the process stood still for many turns of the wheel, and nothing else', () => {
    const clock = new FakeClock();
    const wheel = new DeadlineWheel({ clock, tickMs: 5, slots: 8 });
    const fired: number[] = [];
    for (const deadlineMs of [3, 41, 80, 999, 1_000, 1_001, 5_000]) wheel.at(deadlineMs, () => fired.push(deadlineMs));
    clock.stall(1_000);
    expect(fired.sort((a, b) => a - b)).toEqual([3, 41, 80, 999, 1_000]);
    clock.advance(4_010);
    expect(fired.slice(5)).toEqual([1_001, 5_000]);
  });

  it('a callback may dispose what is due with it, and set a deadline in the past, which waits for the next turn', () => {
    const clock = new FakeClock();
    const wheel = new DeadlineWheel({ clock });
    const later = vi.fn();
    let repeats = 0;
    const again = () => {
      if (++repeats < 3) wheel.at(0, again);
    };
    wheel.at(10, () => other[Symbol.dispose]());
    const other = wheel.at(10, later);
    wheel.at(10, again);
    clock.advance(10);
    expect([later.mock.calls.length, repeats]).toEqual([0, 1]);
    clock.advance(5);
    expect(repeats).toBe(2);
    clock.advance(5);
    expect([repeats, wheel.size, clock.pending]).toEqual([3, 0, 0]);
  });

  it('refuses what is no instant', () => {
    const clock = new FakeClock();
    const wheel = new DeadlineWheel({ clock });
    for (const deadlineMs of [Infinity, -Infinity, NaN]) expect(() => wheel.at(deadlineMs, () => undefined)).toThrow(RangeError);
    expect([wheel.size, clock.pending]).toEqual([0, 0]);
    wheel.at(Number.MAX_VALUE, () => undefined)[Symbol.dispose]();
  });

  it('does what a sorted list would: never early, at most a tick late, once, and not after disposal', () => {
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          do: fc.constant('at' as const),
          inMs: fc.double({ min: -20, max: 400, noNaN: true }),
          disposes: fc.option(fc.nat(30)),
        }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('dispose' as const), index: fc.nat(30) }) },
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constantFrom('advance' as const, 'stall' as const),
          byMs: fc.double({ min: 0, max: 120, noNaN: true }),
        }),
      },
    );
    const run = fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 60 }), (slots, steps) => {
      const clock = new FakeClock({ nowMs: 777.7 });
      const tickMs = 5;
      const wheel = new DeadlineWheel({ clock, tickMs, slots });
      const entries: Array<{ dueMs: number; waits: boolean; handle: Disposable }> = [];
      let stalledUntilMs = 0;
      const dispose = (index: number | null) => {
        const entry = index === null ? undefined : entries[index];
        if (!entry) return;
        entry.waits = false;
        entry.handle[Symbol.dispose]();
      };
      for (const step of steps) {
        if (step.do === 'at') {
          const deadlineMs = clock.nowMs() + step.inMs;
          const handle = wheel.at(deadlineMs, () => {
            expect(entry.waits).toBe(true);
            expect(clock.nowMs()).toBeGreaterThanOrEqual(deadlineMs);
            expect(clock.nowMs()).toBeLessThanOrEqual(Math.max(entry.dueMs, stalledUntilMs) + tickMs + 1e-6);
            entry.waits = false;
            dispose(step.disposes);
          });
          const entry = { dueMs: Math.max(deadlineMs, clock.nowMs()), waits: true, handle };
          entries.push(entry);
        } else if (step.do === 'dispose') dispose(step.index);
        else if (step.do === 'advance') clock.advance(step.byMs);
        else {
          stalledUntilMs = clock.nowMs() + step.byMs;
          clock.stall(step.byMs);
        }
        const waiting = entries.filter(({ waits }) => waits);
        for (const { dueMs } of waiting) expect(Math.max(dueMs, stalledUntilMs) + tickMs + 1e-6).toBeGreaterThanOrEqual(clock.nowMs());
        expect(wheel.size).toBe(waiting.length);
        expect(clock.pending).toBe(waiting.length > 0 ? 1 : 0);
      }
    });
    fc.assert(run, { seed, numRuns: 500 });
  });
});

describe('settleWithin', () => {
  function setUp() {
    const clock = new FakeClock();
    const wheel = new DeadlineWheel({ clock });
    const controller = new AbortController();
    const context: CallContext = within(100, { signal: controller.signal, clock });
    const leftBehind = () => [wheel.size, clock.pending, getEventListeners(controller.signal, 'abort').length];
    return { clock, wheel, controller, context, leftBehind };
  }

  it('gives the result or the failure of the work, and leaves nothing behind', async () => {
    const { wheel, context, leftBehind } = setUp();
    expect(await settleWithin(Promise.resolve(7), context, 'work', wheel)).toBe(7);
    await expect(settleWithin(Promise.reject(new Error('its own')), context, 'work', wheel)).rejects.toThrow('its own');
    expect(leftBehind()).toEqual([0, 0, 0]);
  });

  it('fails at the deadline with an indefinite error that names the work', async () => {
    const { clock, wheel, context, leftBehind } = setUp();
    const settled = settleWithin(new Promise(() => undefined), context, 'log.append', wheel);
    clock.advance(105);
    await expect(settled).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      definite: false,
      message: expect.stringContaining('log.append'),
    });
    expect(leftBehind()).toEqual([0, 0, 0]);
  });

  it('fails when the signal aborts, and when it has aborted before', async () => {
    const { wheel, controller, context, leftBehind } = setUp();
    const settled = settleWithin(new Promise(() => undefined), context, 'work', wheel);
    controller.abort('enough');
    await expect(settled).rejects.toMatchObject({ code: 'CANCELLED', definite: false, cause: 'enough' });
    await expect(settleWithin(Promise.resolve(7), context, 'work', wheel)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(leftBehind()).toEqual([0, 0, 0]);
  });

  it('a rejection that comes too late is nobody’s unhandled rejection', async () => {
    const { clock, wheel, controller, context } = setUp();
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    try {
      let failLate: (error: Error) => void = () => undefined;
      const settled = settleWithin(new Promise((_, reject) => (failLate = reject)), context, 'work', wheel);
      clock.advance(200);
      await expect(settled).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
      failLate(new Error('late'));
      controller.abort();
      await expect(settleWithin(Promise.reject(new Error('late')), context, 'work', wheel)).rejects.toMatchObject({ code: 'CANCELLED' });
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      process.off('unhandledRejection', unhandled);
    }
  });

  it('a thousand calls on one signal cause no warning and leave no listener', async () => {
    const { wheel, context, leftBehind } = setUp();
    const warned = vi.fn();
    process.on('warning', warned);
    const calls = Array.from({ length: 1_000 }, (_, index) => settleWithin(Promise.resolve(index), context, 'work', wheel));
    expect(wheel.size).toBe(1_000);
    await Promise.all(calls);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warned);
    expect(warned).not.toHaveBeenCalled();
    expect(leftBehind()).toEqual([0, 0, 0]);
  });
});
