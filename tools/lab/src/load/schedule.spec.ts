import { describe, expect, it } from 'vitest';
import { keyChooser, zipf } from './keys.js';
import { seededRandom } from './random.js';
import { poissonSchedule, type LoadPlan } from './schedule.js';

const plan: LoadPlan = {
  id: 'test',
  baseUrl: 'http://127.0.0.1:1',
  seed: 11,
  seconds: 100,
  ratePerSecond: 1_000,
  streams: [
    { capability: 'hit', share: 95, keys: { kind: 'zipf', prefix: 'user', count: 1_000, theta: 0.99 } },
    { capability: 'put', share: 5, keys: { kind: 'uniform', prefix: 'user', count: 1_000 } },
  ],
  valueBytes: 1,
  timeoutMs: 1,
  connections: 1,
  mode: 'open',
};

describe('poissonSchedule', () => {
  it('is the same for the same seed, and another for another', () => {
    const [a, b, c] = [poissonSchedule(plan), poissonSchedule(plan), poissonSchedule({ ...plan, seed: 12 })];
    expect(a.atMs).toEqual(b.atMs);
    expect(a.key).toEqual(b.key);
    expect(a.stream).toEqual(b.stream);
    expect(a.atMs.slice(0, 10)).not.toEqual(c.atMs.slice(0, 10));
  });

  it('follows stretches of other rates, and is the plain one where there is one stretch only', () => {
    expect(poissonSchedule({ ...plan, rates: [{ seconds: 100, ratePerSecond: 1_000 }] }).length).toBe(poissonSchedule(plan).length);
    const rates = [
      { seconds: 20, ratePerSecond: 100 },
      { seconds: 30, ratePerSecond: 1_000 },
      { seconds: 10, ratePerSecond: 10 },
    ];
    const { atMs } = poissonSchedule({ ...plan, rates });
    const within = (from: number, to: number) => atMs.filter((at) => at >= from * 1000 && at < to * 1000).length;
    expect(atMs.every((at, i) => i === 0 || at >= atMs[i - 1]!)).toBe(true);
    expect(Math.abs(within(0, 20) / 2_000 - 1)).toBeLessThan(0.1);
    expect(Math.abs(within(20, 50) / 30_000 - 1)).toBeLessThan(0.03);
    expect(Math.abs(within(50, 100) / 500 - 1)).toBeLessThan(0.2);
  });

  it('has the rate, the shares and the spread of a Poisson process', () => {
    const { atMs, stream, length } = poissonSchedule(plan);
    expect(Math.abs(length / 100_000 - 1)).toBeLessThan(0.02);
    expect(Math.abs(stream.reduce((sum, index) => sum + index, 0) / length - 0.05)).toBeLessThan(0.005);
    // Gaps of a Poisson process are exponential: their standard deviation is their mean.
    const gaps = Array.from({ length: length - 1 }, (_, i) => atMs[i + 1]! - atMs[i]!);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    expect(Math.abs(deviation / mean - 1)).toBeLessThan(0.03);
    expect(gaps.every((gap) => gap >= 0)).toBe(true);
  });
});

describe('keys', () => {
  it('follow zipf: the share of each of the first ranks is what the law says', () => {
    const [n, theta, draws] = [1_000, 0.99, 200_000];
    const rank = zipf(n, theta, seededRandom(3, 'zipf'));
    const counts = new Uint32Array(n);
    for (let i = 0; i < draws; i++) counts[rank()]!++;
    const total = Array.from({ length: n }, (_, i) => 1 / (i + 1) ** theta).reduce((sum, weight) => sum + weight, 0);
    for (const i of [0, 1]) expect(Math.abs(counts[i]! / draws / (1 / (i + 1) ** theta / total) - 1)).toBeLessThan(0.05);
    // Beyond the first two Gray's method approximates; the head as a whole is right within a few per cent.
    const head = counts.slice(0, 100).reduce((sum, count) => sum + count, 0) / draws;
    const law = Array.from({ length: 100 }, (_, i) => 1 / (i + 1) ** theta / total).reduce((sum, share) => sum + share, 0);
    expect(Math.abs(head / law - 1)).toBeLessThan(0.05);
  });

  it('are scattered, the same in every run, and each once where that is asked for', () => {
    const spec = { kind: 'zipf', prefix: 'k', count: 500, theta: 0.99 } as const;
    const hottest = (seed: number) => {
      const chooser = keyChooser(spec, seed, '0');
      const counts = new Map<number, number>();
      for (let i = 0; i < 20_000; i++) {
        const index = chooser.next();
        counts.set(index, (counts.get(index) ?? 0) + 1);
      }
      return [...counts].sort((a, b) => b[1] - a[1])[0]![0];
    };
    expect(hottest(1)).toBe(hottest(2));
    const once = keyChooser({ kind: 'once', prefix: 'k', count: 300 }, 5, '0');
    expect(new Set(Array.from({ length: 300 }, () => once.next())).size).toBe(300);
  });

  it('of cities begin with the most populous', () => {
    const cities = keyChooser({ kind: 'cities', count: 50, theta: 0.99 }, 1, '0');
    expect(cities.count).toBe(50);
    expect(cities.keyOf(0)).toMatch(/^city\/[A-Z]{2}\/.+\/\d+$/);
  });
});
