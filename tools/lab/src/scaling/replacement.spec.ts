import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seedFromEnv } from '@diptych/testing';
import { all, drivenInTests } from '../../test/made-up-fleet.js';
import type { InstanceSignals } from './decide.js';
import { ELASTIC, LOOK_MS_MAX, REPLACEMENT } from './policy.js';
import { ALWAYS_THERE, backOffAfter, healthOf, isToBeReplaced, NO_BACK_OFF, seen, type Watched } from './replacement.js';

const { startGraceMs, unhealthyGraceMs, servedWellMs, backOffMs, backOffMsMax } = REPLACEMENT;
/** As busy as it is to be. */
const BUSY: InstanceSignals = { eventLoopUtilization: 0.5, queueingDelayMs: 1 };
const FULL: InstanceSignals = { eventLoopUtilization: 1, queueingDelayMs: 30 };

describe('an instance that the checks do not reach', () => {
  const at = (nowMs: number, watched: Watched) => [healthOf(REPLACEMENT, watched, nowMs), isToBeReplaced(REPLACEMENT, watched, nowMs)];

  it('is unhealthy, and replaced after its grace', () => {
    const down = seen(ALWAYS_THERE, true, 1_000);
    expect(seen(down, true, 2_000)).toEqual(down);
    expect([0, unhealthyGraceMs - 1, unhealthyGraceMs].map((ms) => at(1_000 + ms, down))).toEqual([
      ['unhealthy', false],
      ['unhealthy', false],
      ['unhealthy', true],
    ]);
  });
  it('is starting while it is new', () => {
    const down = seen({ startedMs: 0, cameMs: 500 }, true, 1_000);
    const overMs = 500 + startGraceMs;
    expect([1_000, overMs - 1, overMs, overMs + unhealthyGraceMs].map((ms) => at(ms, down))).toEqual([
      ['starting', false],
      ['starting', false],
      ['unhealthy', false],
      ['unhealthy', true],
    ]);
  });
  it('has all its grace again when it was well in between', () => {
    const again = seen(seen(seen(ALWAYS_THERE, true, 0), false, 9_000), true, 10_000);
    expect(at(unhealthyGraceMs, again)).toEqual(['unhealthy', false]);
  });
});

describe('what comes instead of one that did not last', () => {
  it('waits twice as long each time, up to a bound, and never for one that lasted', () => {
    const property = fc.property(fc.array(fc.integer({ min: 0, max: 2 * servedWellMs }), { maxLength: 200 }), (lives) => {
      let [backOff, nowMs, short] = [NO_BACK_OFF, 0, 0];
      for (const livesMs of lives) {
        const startedMs = Math.max(nowMs, backOff.untilMs);
        nowMs = startedMs + livesMs;
        backOff = backOffAfter(REPLACEMENT, backOff, { startedMs, cameMs: startedMs }, nowMs);
        if (livesMs < servedWellMs) expect(backOff.untilMs - nowMs).toBe(Math.min(backOffMsMax, backOffMs * 2 ** short++));
        else expect(backOff.untilMs).toBeLessThanOrEqual(nowMs);
      }
    });
    fc.assert(property, { seed: seedFromEnv() });
  });
  it('waits once for all that were started before the first of them ended', () => {
    const first = backOffAfter(REPLACEMENT, NO_BACK_OFF, { startedMs: 0, cameMs: 1_000 }, 2_000);
    expect(backOffAfter(REPLACEMENT, first, { startedMs: 0, cameMs: 1_000 }, 2_000)).toBe(first);
    expect(backOffAfter(REPLACEMENT, first, { startedMs: 1_999, cameMs: 3_000 }, 4_000)).toBe(first);
    expect(backOffAfter(REPLACEMENT, first, { startedMs: 3_000, cameMs: 4_000 }, 5_000).failures).toBe(2);
  });
  it('waits also for one that was down for longer than it ever served', () => {
    const lost = { startedMs: 0, cameMs: 1_000, downSinceMs: 2_000 };
    expect(backOffAfter(REPLACEMENT, NO_BACK_OFF, lost, 10 * servedWellMs).failures).toBe(1);
  });
});

describe('the autoscaler', () => {
  const driven = drivenInTests();
  const startsOf = (journal: readonly string[]) => journal.flatMap((each) => (each.endsWith('starts') ? [Number.parseFloat(each)] : []));
  const gapsOf = (seconds: readonly number[]) => seconds.slice(1).map((second, i) => second - seconds[i]!);

  it('counts on one that the balancer calls down for nothing, and has it killed and replaced after its grace', async () => {
    // What the one that is down says would have more started, if anybody listened.
    const say = (nowMs: number, name: string) => (nowMs > 5_000 && name === 'replica-2' ? FULL : BUSY);
    const { clock, fleet, autoscaling, lines, changed, stop } = driven(2, (asked, nowMs) => asked.map(({ name }) => say(nowMs, name)));
    await clock.advanceAsync(5_500);
    fleet.down.add('replica-2');
    await clock.advanceAsync(20_000);
    expect(fleet.journal).toEqual(['16: replica-2 is killed', '16: replica-3 starts', '19: replica-3 serves']);
    const killed = "replica-2 was killed, as the balancer's checks had not reached it for 10.0 s";
    expect(autoscaling.failures).toEqual([killed]);
    expect(lines().filter(({ kind }) => kind === 'lost')).toMatchObject([{ why: killed, atMs: 16_000 }]);
    expect(changed()).toMatchObject([{ kind: 'replace', from: 1, to: 2 }]);
    const meanwhile = lines().filter(({ unhealthy }) => unhealthy !== undefined);
    expect(meanwhile.map(({ atMs }) => atMs / 1_000)).toEqual([6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    for (const { unhealthy, serving, from, to } of meanwhile)
      expect([unhealthy, serving!.length, from, to]).toEqual([['replica-2'], 1, 2, 2]);
    expect(autoscaling.supply.map(({ instances }) => instances)).toEqual([2, 1, 2]);
    await stop();
  });

  it('leaves one alone that is well again in time', async () => {
    const { clock, fleet, autoscaling, stop } = driven(2, all(BUSY));
    for (let times = 0; times < 3; times++) {
      fleet.down.add('replica-2');
      await clock.advanceAsync(unhealthyGraceMs - 1_000);
      fleet.down.clear();
      await clock.advanceAsync(1_000);
    }
    expect([fleet.journal, autoscaling.failures]).toEqual([[], []]);
    await stop();
  });

  it('has one that comes and is never reached start for its grace, and replaces it after the other, later each time', async () => {
    const { clock, fleet, autoscaling, lines, stop } = driven(2, all(BUSY));
    for (let number = 3; number < 20; number++) fleet.down.add(`replica-${number}`);
    await clock.advanceAsync(5_500);
    fleet.end('replica-2');
    await clock.advanceAsync(120_000);
    // It comes after 3 s, starts for 10, is unhealthy for 10, and what comes instead waits 1 s, 2 s, 4 s.
    expect(fleet.journal.slice(0, 8)).toEqual([
      '6: replica-3 starts',
      '9: replica-3 serves',
      '29: replica-3 is killed',
      '30: replica-4 starts',
      '33: replica-4 serves',
      '53: replica-4 is killed',
      '55: replica-5 starts',
      '58: replica-5 serves',
    ]);
    const unhealthy = lines().flatMap(({ atMs, unhealthy: names = [] }) => (names.includes('replica-3') ? [atMs / 1_000] : []));
    expect([unhealthy[0], unhealthy.at(-1)]).toEqual([19, 29]);
    expect(autoscaling.failures.slice(0, 3)).toEqual([
      'replica-2 ended without being told to',
      expect.stringMatching(/^replica-3 was killed, .* 1 in a row did not last, so the next starts in 1.0 s$/),
      expect.stringMatching(/^replica-4 was killed, .* 2 in a row did not last, so the next starts in 2.0 s$/),
    ]);
    await stop();
  });

  it('replaces one after the other when all are unhealthy', async () => {
    const { clock, fleet, stop } = driven(3, all(BUSY));
    for (const { name } of fleet.serving('replica')) fleet.down.add(name);
    await clock.advanceAsync(60_000);
    const did = fleet.journal.map((each) => each.split(' ').at(-1));
    expect(did).toEqual(Array.from({ length: 3 }, () => ['killed', 'starts', 'serves']).flat());
    await stop();
  });

  it('leaves those alone that have served when what comes instead of one is never reached either', async () => {
    const { clock, fleet, stop } = driven(3, all(BUSY));
    for (let number = 1; number < 20; number++) fleet.down.add(`replica-${number}`);
    await clock.advanceAsync(120_000);
    const killed = fleet.journal.flatMap((each) => (each.endsWith('is killed') ? [each.split(' ')[1]] : []));
    expect(killed).toEqual(['replica-3', 'replica-4', 'replica-5', 'replica-6', 'replica-7']);
    expect(fleet.serving('replica').map(({ name }) => name)).toEqual(expect.arrayContaining(['replica-1', 'replica-2']));
    await stop();
  });

  it('gives one that was down all its grace again after a look that nobody answered', async () => {
    const { clock, fleet, stop } = driven(2, all(BUSY));
    await clock.advanceAsync(5_500);
    fleet.down.add('replica-2');
    await clock.advanceAsync(2_000);
    fleet.isMute = true;
    await clock.advanceAsync(20_000);
    fleet.isMute = false;
    await clock.advanceAsync(unhealthyGraceMs - 1_000);
    expect(fleet.journal).toEqual([]);
    await clock.advanceAsync(5_000);
    expect(fleet.journal[0]).toMatch(/replica-2 is killed$/);
    await stop();
  });

  it('replaces what ends soon after it came later each time, up to a bound, and at once again when it has lasted', async () => {
    const { clock, fleet, autoscaling, lines, stop } = driven(2, all(BUSY));
    fleet.livesMs = 1_500;
    await clock.advanceAsync(5_500);
    fleet.end('replica-2');
    await clock.advanceAsync(155_000);
    const gaps = [1, 2, 4, 8, 16, 30, 30].map((waitSeconds) => 3 + 2 + waitSeconds);
    expect(gapsOf(startsOf(fleet.journal))).toEqual(gaps);
    expect(autoscaling.failures.slice(0, 3)).toEqual([
      'replica-2 ended without being told to',
      'replica-3 ended without being told to; 1 in a row did not last, so the next starts in 1.0 s',
      'replica-4 ended without being told to; 2 in a row did not last, so the next starts in 2.0 s',
    ]);
    expect(lines().some(({ kind }) => kind === 'forgotten')).toBe(false);
    fleet.livesMs = Infinity;
    await clock.advanceAsync(90_000);
    expect(lines().filter(({ kind }) => kind === 'forgotten')).toHaveLength(1);
    fleet.livesMs = 1_500;
    const before = fleet.journal.length;
    const endedSeconds = clock.nowMs() / 1_000;
    fleet.end(fleet.serving('replica').at(-1)!.name);
    await clock.advanceAsync(12_000);
    const starts = startsOf(fleet.journal.slice(before));
    expect(starts[0]! - endedSeconds).toBeLessThanOrEqual(1);
    expect(gapsOf(starts)).toEqual([gaps[0]]);
    await stop();
  });

  it('starts what does not start later each time, also below the minimum', async () => {
    const { clock, fleet, stop } = driven(1, all(BUSY));
    fleet.failsFrom = 2;
    fleet.end('replica-1');
    await clock.advanceAsync(113_000);
    expect(gapsOf(startsOf(fleet.journal))).toEqual([1, 2, 4, 8, 16, 30, 30].map((waitSeconds) => 3 + waitSeconds));
    await stop();
  });

  it('decides nothing by a look that the balancer does not answer, says so, and still replaces what ends', async () => {
    const { clock, fleet, autoscaling, lines, changed, stop } = driven(2, (asked, nowMs) =>
      asked.map(() => (nowMs > 10_000 ? FULL : BUSY)),
    );
    await clock.advanceAsync(10_500);
    fleet.isMute = true;
    fleet.end('replica-1');
    await clock.advanceAsync(20_000);
    const during = lines().filter(({ atMs }) => atMs > 10_500);
    const missed = during.filter(({ kind }) => kind === 'missed');
    const why = `no look at the replicas, and so no decision: Error: haproxy: no answer within ${LOOK_MS_MAX} ms`;
    // One is made every time that the one before it was given up.
    expect(missed.length).toBeGreaterThanOrEqual(20_000 / (LOOK_MS_MAX + 1_000) - 1);
    expect(new Set(missed.map((line) => line.why))).toEqual(new Set([why]));
    expect(during.filter(({ kind }) => kind !== 'missed').map(({ kind }) => kind)).toEqual(['lost', 'replace']);
    expect(fleet.journal).toEqual(['11: replica-3 starts', '14: replica-3 serves']);
    expect(autoscaling.failures).toEqual(['replica-1 ended without being told to', why]);
    fleet.isMute = false;
    await clock.advanceAsync(10_000);
    expect(changed().at(-1)).toMatchObject({ kind: 'out', from: 2, to: ELASTIC.instancesMax });
    await stop();
  });
});
