import { describe, expect, it } from 'vitest';
import type { Recording } from './generator.js';
import { OUTCOMES, type Outcome } from './operations.js';
import { poissonSchedule, type LoadPlan } from './schedule.js';
import { summarize } from './summary.js';

const plan: LoadPlan = {
  id: 'test',
  baseUrl: 'http://127.0.0.1:1',
  seed: 7,
  seconds: 400,
  ratePerSecond: 200,
  streams: [{ capability: 'hit', share: 1, keys: { kind: 'uniform', prefix: 'k', count: 10 } }],
  valueBytes: 1,
  timeoutMs: 5_000,
  connections: 512,
  mode: 'open',
};

interface Made {
  readonly atMs: number;
  readonly sentMs?: number;
  readonly doneMs: number;
  readonly outcome?: Outcome;
}

function recordingOf(requests: readonly Made[]): Recording {
  return {
    schedule: {
      length: requests.length,
      atMs: Float64Array.from(requests, ({ atMs }) => atMs),
      stream: new Uint8Array(requests.length),
      key: new Uint32Array(requests.length),
      choosers: [],
    },
    sentMs: Float64Array.from(requests, ({ atMs, sentMs }) => sentMs ?? atMs),
    doneMs: Float64Array.from(requests, ({ doneMs }) => doneMs),
    status: new Uint16Array(requests.length),
    outcome: Uint8Array.from(requests, ({ outcome }) => OUTCOMES.indexOf(outcome ?? 'good')),
    startedWallMs: 0,
    cpuMs: 10,
    elapsedMs: 100,
  };
}

describe('summarize', () => {
  it('counts latency from the scheduled moment, however late the request was sent', () => {
    const late = Array.from({ length: 100 }, (_, i) => ({ atMs: i * 10, sentMs: i * 10 + 300, doneMs: i * 10 + 301 }));
    const { latency, generator } = summarize(plan, recordingOf(late));
    expect(latency.p50Ms).toBeCloseTo(301, 0);
    expect(generator.latenessMs.p50).toBeCloseTo(300, 0);
    expect(generator.sentOnScheduleShare).toBe(0);
    // In a closed loop there is no scheduled moment.
    expect(summarize({ ...plan, mode: 'closed' }, recordingOf(late)).latency.p50Ms).toBeCloseTo(1, 1);
  });

  it.each(OUTCOMES.filter((outcome) => outcome !== 'good' && outcome !== 'pending'))(
    'counts a request that ended as "%s" at the time-out, though it took 1 ms, and as not good',
    (outcome) => {
      const requests = Array.from({ length: 100 }, (_, i) => ({ atMs: i, doneMs: i + 1, outcome: i < 60 ? outcome : ('good' as const) }));
      const { latency, good, offered, outcomes, perCapability, series } = summarize(plan, recordingOf(requests));
      expect(latency.p50Ms).toBe(plan.timeoutMs);
      expect({ good, offered, failed: outcomes[outcome] }).toEqual({ good: 40, offered: 100, failed: 60 });
      expect(perCapability.hit).toMatchObject({ offered: 100, good: 40, latency: { p50Ms: plan.timeoutMs } });
      expect(series[0]).toMatchObject({ offered: { hit: 100 }, good: { hit: 40 }, p99Ms: plan.timeoutMs });
    },
  );

  it('does not count what a signal cut short', () => {
    const requests = [
      { atMs: 0, doneMs: 2 },
      { atMs: 1, doneMs: Number.NaN, outcome: 'pending' as const },
    ];
    expect(summarize(plan, recordingOf(requests))).toMatchObject({ offered: 1, good: 1, outcomes: { pending: 1 } });
  });

  it('gives no p99 of fewer than 3,000 requests and no p99.9 of fewer than 30,000', () => {
    const of = (length: number) => summarize(plan, recordingOf(Array.from({ length }, () => ({ atMs: 0, doneMs: 2 })))).latency;
    expect(of(2_999)).toMatchObject({ p99Ms: null, p999Ms: null });
    expect(of(3_000)).toMatchObject({ p999Ms: null });
    expect(of(3_000).p99Ms).toBeCloseTo(2, 1);
    expect(of(30_000).p999Ms).toBeCloseTo(2, 1);
  });
});

/**
 * The golden test, in virtual time: a server that answers at once, but stands still for the first 0.8 s of every 4 s. P(latency > x) is
 * 0.2 (1 - x / 800 ms), so the 99th percentile is 760 ms. `selfcheck` asks the same of the real generator and a real server.
 */
describe('a server that stalls', () => {
  const [stallMs, periodMs, serviceMs, theoryMs] = [800, 4_000, 0.2, 760];
  const answeredMs = (arrivedMs: number) => arrivedMs + Math.max(0, stallMs - (arrivedMs % periodMs)) + serviceMs;

  it('shows its theoretical p99 when requests leave on schedule', () => {
    const { atMs } = poissonSchedule(plan);
    const { latency, offered } = summarize(plan, recordingOf(Array.from(atMs, (at) => ({ atMs: at, doneMs: answeredMs(at) }))));
    expect(offered).toBeGreaterThan(75_000);
    expect(Math.abs(latency.p99Ms! / theoryMs - 1)).toBeLessThan(0.03);
    // 80 % meet no stall.
    expect(latency.p50Ms).toBeLessThan(1);
  });

  it('shows it too when requests wait for one of four connections: the wait counts', () => {
    const freeMs = [0, 0, 0, 0];
    const requests = Array.from(poissonSchedule(plan).atMs, (at) => {
      const next = freeMs.indexOf(Math.min(...freeMs));
      const sentMs = Math.max(at, freeMs[next]!);
      const doneMs = (freeMs[next] = answeredMs(sentMs));
      return { atMs: at, sentMs, doneMs };
    });
    expect(Math.abs(summarize(plan, recordingOf(requests)).latency.p99Ms! / theoryMs - 1)).toBeLessThan(0.05);
  });

  it('is hidden from a closed loop of four clients, which is why the lab does not measure so', () => {
    const requests: Made[] = [];
    for (let client = 0; client < 4; client++)
      for (let at = 0; at < 40_000; at = requests.at(-1)!.doneMs) requests.push({ atMs: at, doneMs: answeredMs(at) });
    expect(summarize({ ...plan, mode: 'closed' }, recordingOf(requests)).latency.p99Ms).toBeLessThan(theoryMs / 10);
  });
});
