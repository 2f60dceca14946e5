import { describe, expect, it } from 'vitest';
import type { Capability } from '../dependency-table.js';
import type { DurabilityFinding } from '../durability.js';
import type { Fault, Run, SeriesPoint } from '../results.js';
import { killAndRestart } from './crash.js';
import { baselineFault, metricsOf, recoveryWatchedSeconds, sentences, survivalOf } from './crash-score.js';

const fault: Fault = { kind: 'kill', part: 'log', fromSecond: 4.05, toSecond: 12.05, proof: 'p' };
const durability: DurabilityFinding = { acknowledged: 1, acknowledgedKeys: 1, unknown: 0, lost: [], phantom: [], invented: [], unread: [] };
const outcomes = { pending: 0, good: 0, refused: 0, 'wrong-status': 0, 'wrong-answer': 0, timeout: 0, reset: 0, unsent: 0 };

/** 100 of each capability a second; how many of them are good is made up. */
function seriesOf(
  good: (second: number, capability: Capability) => number,
  p99Ms: (second: number) => number = () => 3,
  seconds = 22,
): SeriesPoint[] {
  const capabilities: Capability[] = ['hit', 'miss', 'put', 'delete', 'list', 'report', 'health'];
  return Array.from({ length: seconds }, (_, second) => ({
    second,
    offered: Object.fromEntries(capabilities.map((each) => [each, 100])),
    good: Object.fromEntries(capabilities.map((each) => [each, good(second, each)])),
    p99Ms: p99Ms(second),
  }));
}
const isAway = (second: number) => second >= 4 && second <= 12;
/** As the table has it: hits until 5 s after the kill, health throughout. */
const asExpected = (second: number, capability: Capability) =>
  !isAway(second) || capability === 'health' ? 100 : capability !== 'hit' || second >= 9.05 ? 0 : 100;
const hits = (good: (second: number, capability: Capability) => number) =>
  survivalOf('services', 'log', { series: seriesOf(good) }, fault).filter(({ capability }) => capability === 'hit');

describe('what survives', () => {
  it('is scored apart within the bound of the cache and beyond it', () => {
    const cells = survivalOf('services', 'log', { series: seriesOf(asExpected) }, fault);
    expect(cells.every(({ expected, seen }) => expected === seen)).toBe(true);
    expect(hits(asExpected)).toMatchObject([
      { when: 'first 5 s', seen: 'survives', availability: 1 },
      { when: 'after 5 s', seen: 'fails' },
    ]);
  });

  it('is not a hit that goes on beyond the bound, nor one that stops before it', () => {
    expect(hits((second, capability) => (capability === 'hit' ? 100 : asExpected(second, capability)))[1]).toMatchObject({
      seen: 'survives',
      expected: 'fails',
    });
    expect(hits((second, capability) => (isAway(second) ? 0 : asExpected(second, capability)))[0]).toMatchObject({
      seen: 'fails',
      expected: 'survives',
    });
  });

  it('needs nine good answers of ten', () => {
    const health = (share: number) =>
      survivalOf('services', 'log', { series: seriesOf((second) => (isAway(second) ? share : 100)) }, fault).find(
        ({ capability }) => capability === 'health',
      );
    expect(health(90)!.seen).toBe('survives');
    expect(health(89)!.seen).toBe('fails');
  });

  it('is of whole seconds of the absence only, and of no time not measured', () => {
    const whole = survivalOf('monolith', 'monolith', { series: seriesOf((second) => (second >= 5 && second <= 11 ? 0 : 100)) }, fault);
    expect(whole.map(({ availability }) => availability)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    const short = survivalOf('services', 'log', { series: seriesOf(asExpected) }, { ...fault, toSecond: 7 });
    expect(short.find(({ when }) => when === 'after 5 s')).toMatchObject({ seen: 'not measured', availability: null });
  });
});

it('needs a baseline: of two whole seconds at least, and good', () => {
  expect(baselineFault(seriesOf(asExpected), fault)).toBeUndefined();
  expect(baselineFault(seriesOf(asExpected), { ...fault, fromSecond: 2.9 })).toContain('1 whole seconds of baseline');
  expect(
    baselineFault(
      seriesOf((second) => (second === 2 ? 90 : 100)),
      fault,
    ),
  ).toContain('96.7 % of the answers were good before');
  expect(
    metricsOf({ series: seriesOf(asExpected), outcomes }, { ...fault, fromSecond: 0.5 }, durability)['lostGoodRequests'],
  ).toBeUndefined();
});

describe('recovery', () => {
  const recoveryOf = (series: SeriesPoint[]) => metricsOf({ series, outcomes }, fault, durability)['recoverySeconds'];

  it('is to the first of five good seconds, counted from the restart', () => {
    expect(recoveryOf(seriesOf(asExpected))).toBeCloseTo(0.95);
    expect(recoveryOf(seriesOf((second, capability) => (second === 14 ? 90 : asExpected(second, capability))))).toBeCloseTo(2.95);
  });

  it('is not while the answers are slow', () => {
    expect(recoveryOf(seriesOf(asExpected, (second) => (second < 16 ? 3 : 26)))).toBeUndefined();
    expect(recoveryOf(seriesOf(asExpected, (second) => (second < 16 && second > 11 ? 26 : 3)))).toBeCloseTo(3.95);
  });

  it('is said with the longest that could be seen, where none was', () => {
    const series = seriesOf((second) => (second >= 4 ? 0 : 100));
    const run: Run = { block: 0, order: 0, arm: 'services', label: '', valid: true, metrics: { lostGoodRequests: 9 }, series };
    const cells = survivalOf('services', 'log', { series: seriesOf(asExpected) }, fault);
    const seen = { run, fault, durability, cells, watchedSeconds: recoveryWatchedSeconds(series, fault) };
    const [first] = sentences('services', 'log', seen);
    expect(first).toContain('With the log of the services killed and away for 8.0 s, hit (first 5 s), health went on');
    expect(first).toContain('had not recovered within 4.9 s, the longest that could be seen');
  });
});

describe('the kill and what follows', () => {
  const quiet = new AbortController().signal;
  const kill = () => Promise.resolve({ proof: 'p' });

  it('comes back, or does not', async () => {
    const back = await killAndRestart(quiet, { kill, restart: () => Promise.resolve() }, 'log', 0.01);
    expect(back).toMatchObject({ injection: { proof: 'p' }, cameBack: true });
    expect(back.backWallMs - back.killedWallMs).toBeGreaterThan(5);
    expect((await killAndRestart(quiet, { kill, restart: () => Promise.reject(new Error('no')) }, 'log', 0)).cameBack).toBe(false);
  });

  it('says nothing of coming back when a signal ended the restart', async () => {
    const stop = new AbortController();
    const restart = () => {
      stop.abort();
      return Promise.reject(new Error('ended with the lab'));
    };
    expect((await killAndRestart(stop.signal, { kill, restart }, 'log', 0)).cameBack).toBeUndefined();
  });
});
