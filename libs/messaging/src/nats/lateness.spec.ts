import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lateness } from './lateness.js';

const seed = seedFromEnv();

describe('Lateness', () => {
  it('believes the first request of a caller, and measures the others by the quickest', () => {
    const lateness = new Lateness();
    expect(lateness.of('a', 0, 1_000_005)).toBe(0);
    expect(lateness.of('a', 100, 1_000_101)).toBe(0);
    expect(lateness.of('a', 200, 1_000_701)).toBeCloseTo(500, 0);
    expect(lateness.of('b', 900, 1_000_701)).toBe(0);
  });

  it('is right within the jitter of the way, whatever the two clocks say and however they drift', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e9, max: 1e9, noNaN: true }),
        fc.double({ min: -100e-6, max: 100e-6, noNaN: true }),
        fc.array(fc.record({ gapMs: fc.integer({ min: 1, max: 20_000 }), wayMs: fc.double({ min: 0.05, max: 3, noNaN: true }) }), {
          minLength: 5,
          maxLength: 200,
        }),
        fc.integer({ min: 100, max: 600_000 }),
        (skewMs, drift, sends, stoppedMs) => {
          const lateness = new Lateness();
          const received = (sentMs: number, wayMs: number) => sentMs * (1 + drift) + skewMs + wayMs;
          let nowMs = 0;
          for (const { gapMs, wayMs } of sends) {
            nowMs += gapMs;
            // Nothing waits: nothing may look later than the jitter of the way and the drift of one learning span allow.
            expect(lateness.of('a', nowMs, received(nowMs, wayMs))).toBeLessThan(3 + 20_000 * 300e-6 + 20);
          }
          // The server is stopped, and then reads what was sent meanwhile.
          const begunMs = nowMs + 1;
          const waited = lateness.of('a', begunMs, received(begunMs, stoppedMs));
          expect(Math.abs(waited - stoppedMs)).toBeLessThan(3 + (20_000 + stoppedMs) * 300e-6 + 20);
        },
      ),
      { seed },
    );
  });

  it("learns anew within ten seconds when a caller's clock has stood still, so that its calls are not dead for ever", () => {
    const lateness = new Lateness();
    lateness.of('a', 0, 0);
    const sleptMs = 60_000;
    let last = Number.NaN;
    for (let nowMs = 100; nowMs <= 12_000; nowMs += 100) last = lateness.of('a', nowMs, nowMs + sleptMs);
    expect(last).toBeLessThan(1);
  });

  it('does not take a queue that piled up for such a sleep', () => {
    const lateness = new Lateness();
    for (let nowMs = 0; nowMs <= 9_900; nowMs += 100) lateness.of('a', nowMs, nowMs + 0.5 + Math.sin(nowMs));
    // Stopped for a minute; then 600 requests, one for each 100 ms of it, are read at once.
    for (let sentMs = 10_000; sentMs < 70_000; sentMs += 100)
      expect(lateness.of('a', sentMs, 70_000)).toBeGreaterThan(70_000 - sentMs - 30);
    expect(lateness.of('a', 70_001, 70_002)).toBeLessThan(5);
  });

  it('remembers a bounded number of callers', () => {
    const lateness = new Lateness({ callersMax: 3 });
    for (const caller of ['a', 'b', 'c', 'd']) lateness.of(caller, 0, 0);
    expect(lateness.callers).toBe(3);
    expect(lateness.of('a', 0, 500)).toBe(0);
    expect(lateness.of('d', 0, 500)).toBeCloseTo(500, 0);
  });
});
