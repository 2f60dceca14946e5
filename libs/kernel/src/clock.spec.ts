import { describe, expect, it } from 'vitest';
import { assertAlive, timeLeftMs, within } from './call-context.js';
import { systemClock } from './clock.js';
import { FakeClock } from './testing/index.js';

describe('systemClock', () => {
  it('never calls back early by its own reading, which bare timers of Node do', async () => {
    const earlyMs: number[] = [];
    const timers = Array.from({ length: 100 }, (_, index) => {
      const dueMs = systemClock.nowMs() + index * 0.37;
      return new Promise<void>((resolve) => {
        systemClock.after(index * 0.37, () => {
          if (systemClock.nowMs() < dueMs) earlyMs.push(dueMs - systemClock.nowMs());
          resolve();
        });
      });
    });
    await Promise.all(timers);
    expect(earlyMs).toEqual([]);
  });

  it('a timer disposed of does not call back, however far away', async () => {
    let called = false;
    for (const delayMs of [0, 1, 1e12]) systemClock.after(delayMs, () => (called = true))[Symbol.dispose]();
    systemClock.every(1, () => (called = true))[Symbol.dispose]();
    await new Promise<void>((resolve) => systemClock.after(5, resolve));
    expect(called).toBe(false);
  });
});

describe('FakeClock', () => {
  it('calls back in order of time, what was started in callbacks too', () => {
    const clock = new FakeClock();
    const events: string[] = [];
    clock.after(20, () => events.push(`20 at ${clock.nowMs()}`));
    const ticking = clock.every(15, () => events.push(`every at ${clock.nowMs()}`));
    clock.after(10, () => clock.after(5, () => events.push(`10 + 5 at ${clock.nowMs()}`)));
    clock.advance(40);
    expect(events).toEqual(['every at 15', '10 + 5 at 15', '20 at 20', 'every at 30']);
    expect([clock.nowMs(), clock.wallMs() - Date.UTC(2026, 0, 1), clock.pending]).toEqual([40, 40, 1]);
    ticking[Symbol.dispose]();
    expect(clock.pending).toBe(0);
  });

  it('after a stall fires once what was missed', () => {
    const clock = new FakeClock();
    const firedMs: number[] = [];
    clock.every(10, () => firedMs.push(clock.nowMs()));
    clock.stall(95);
    clock.advance(15);
    expect(firedMs).toEqual([95, 105]);
  });

  it('lets promises settle between timers', async () => {
    const clock = new FakeClock();
    const firedMs: number[] = [];
    const loop = (async () => {
      for (let turn = 0; turn < 3; turn++) {
        await new Promise<void>((resolve) => void clock.after(10, resolve));
        firedMs.push(clock.nowMs());
      }
    })();
    await clock.advanceAsync(50);
    await loop;
    expect(firedMs).toEqual([10, 20, 30]);
  });
});

describe('CallContext', () => {
  it('is alive until its deadline or its signal', () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const context = within(100, { clock, signal: controller.signal });
    assertAlive(context, clock);
    expect(timeLeftMs(context, clock)).toBe(100);
    clock.advance(100);
    expect(() => assertAlive(context, clock)).toThrow(expect.objectContaining({ code: 'DEADLINE_EXCEEDED', definite: true }));
    controller.abort('enough');
    expect(() => assertAlive(context, clock)).toThrow(expect.objectContaining({ code: 'CANCELLED', definite: true, cause: 'enough' }));
  });

  it('has a deadline, always', () => {
    for (const timeoutMs of [Infinity, NaN]) expect(() => within(timeoutMs)).toThrow(RangeError);
  });
});
