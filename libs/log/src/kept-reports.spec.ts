import { within } from '@diptych/kernel';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { put, remove, soon, useLogs } from '../test/log-fixture.js';
import type { FileLog, Report } from './index.js';
import { keepingReports, KeptReports } from './kept-reports.js';

const logs = useLogs();

/** A file log whose reports are kept, and which counts those that it computed itself; with `hold` they wait for `release`. */
async function open(reportsMax = 4) {
  const log = await logs.open();
  const state = { computed: 0, hold: false, aborted: 0, release: () => undefined as void };
  const counted = Object.assign(Object.create(null) as FileLog, keepingReports(log, undefined as never), {
    async report(request: { prefix: string }, context: Parameters<FileLog['report']>[1]) {
      state.computed++;
      const report = await log.report(request, context);
      if (state.hold)
        await new Promise<void>((resolve, reject) => {
          const release = state.release;
          state.release = () => (release(), resolve());
          context.signal?.addEventListener('abort', () => (state.aborted++, reject(context.signal!.reason as Error)));
        });
      return report;
    },
  });
  const reports = await KeptReports.open(counted, { reportsMax });
  const port = keepingReports(counted, reports);
  const report = (prefix: string, context = soon()) => port.report({ prefix }, context);
  return { log, reports, report, state };
}

const withoutAsOf = ({ asOf: _, ...rest }: Report) => rest;

describe('a kept report', () => {
  it('is computed once until a key under its prefix commits, and says that it is of now', async () => {
    const { log, report, reports, state } = await open();
    await put(log, 'a/1', 'one');
    const first = await report('a/');
    const { position } = await put(log, 'b/1', 'elsewhere');
    expect(await report('a/')).toEqual({ ...first, asOf: position });
    expect(state.computed).toBe(1);
    for (const change of [() => put(log, 'a/2', 'two'), () => remove(log, 'a/2'), () => put(log, 'a/1', 'one')]) {
      const before = state.computed;
      const { position } = await change();
      const changed = await report('a/');
      expect([changed.asOf, state.computed]).toEqual([position, before + 1]);
      expect(await report('a/')).toEqual(changed);
    }
    expect(withoutAsOf(await report('a/'))).toEqual(withoutAsOf(first));
    expect(reports.counts()).toMatchObject({ kept: 1, hits: 5, misses: 4, dropped: 3 });
  });

  it('is computed once for all who ask together, each with a deadline of its own', async () => {
    const { report, state } = await open();
    state.hold = true;
    const hasty = report('', within(30)).catch((error: unknown) => error);
    const patient = Array.from({ length: 50 }, () => report(''));
    expect(await hasty).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    state.release();
    expect(new Set((await Promise.all(patient)).map(({ contentHash }) => contentHash)).size).toBe(1);
    expect([state.computed, state.aborted]).toEqual([1, 0]);
  });

  it('is ended when nobody waits for it any more, and the next who asks starts anew', async () => {
    const { report, reports, state } = await open();
    state.hold = true;
    const abort = new AbortController();
    const only = report('', within(60_000, { signal: abort.signal })).catch((error: unknown) => error);
    await expect.poll(() => state.computed).toBe(1);
    abort.abort();
    expect(await only).toMatchObject({ code: 'CANCELLED' });
    state.hold = false;
    expect((await report('')).entries).toBe(0);
    expect([state.computed, reports.counts().kept]).toEqual([2, 1]);
  });

  it('is not kept when a commit overtook it: those who waited get it, later ones the new one', async () => {
    const { log, report, reports, state } = await open();
    state.hold = true;
    const early = report('a');
    await expect.poll(() => state.release.toString()).toContain('resolve');
    await put(log, 'a', 'new');
    state.hold = false;
    const late = await report('a');
    state.release();
    expect([(await early).entries, late.entries]).toEqual([0, 1]);
    expect((await report('a')).entries).toBe(1);
    expect([state.computed, reports.counts().kept]).toEqual([2, 1]);
  });

  it('that somebody joined is as new as what he may have read: a commit elsewhere leaves it true', async () => {
    const { log, report, state } = await open();
    state.hold = true;
    const early = report('a');
    await expect.poll(() => state.release.toString()).toContain('resolve');
    const { position } = await put(log, 'b', 'elsewhere');
    const joined = report('a');
    state.release();
    expect((await joined).asOf.revision).toBe(position.revision);
    expect((await early).entries).toBe(0);
    expect(state.computed).toBe(1);
  });

  it('is one of a bounded number: the least recently used goes first, and its memory is counted down', async () => {
    const { report, reports, state } = await open(2);
    for (const prefix of ['a', 'b', 'a', 'c']) await report(prefix);
    expect([state.computed, reports.counts().kept]).toEqual([3, 2]);
    await report('a');
    expect(state.computed).toBe(3);
    const { bytes } = reports.counts();
    expect(bytes).toBeGreaterThan(1_000);
    await report('b');
    expect([state.computed, reports.counts().bytes]).toEqual([4, bytes]);
    reports[Symbol.dispose]();
    expect(reports.counts()).toMatchObject({ kept: 0, bytes: 0 });
  });

  it('is refused where commits come late', async () => {
    const { log } = await open();
    const late = Object.assign(keepingReports(log, undefined as never), {
      commits: async () => ({ delivery: 'best-effort' as const, [Symbol.dispose]: () => undefined }),
    });
    await expect(KeptReports.open(late, { reportsMax: 1 })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });
});

it('after any history a kept report is the one that would be computed', async () => {
  const { log, report, reports } = await open(3);
  const key = fc.constantFrom('a', 'a/b', 'ab', 'b', 'b/\u{1f600}', '\u{1f600}');
  const step = fc.oneof(
    fc.record({ do: fc.constant('put' as const), key, value: fc.string({ maxLength: 8 }) }),
    fc.record({ do: fc.constant('delete' as const), key }),
    fc.record({ do: fc.constant('report' as const), prefix: fc.constantFrom('', 'a', 'a/', 'b/', '\u{1f600}'), wait: fc.boolean() }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
      const pending: Array<Promise<unknown>> = [];
      for (const one of steps) {
        if (one.do === 'put') await put(log, one.key, one.value);
        else if (one.do === 'delete') await remove(log, one.key);
        else {
          const least = (await log.read({ key: 'a' }, soon())).asOf.revision;
          const answer = report(one.prefix).then((shown) => {
            expect(shown.asOf.revision).toBeGreaterThanOrEqual(least);
            return shown;
          });
          pending.push(answer);
          if (one.wait) expect(await answer).toEqual(await log.report({ prefix: one.prefix }, soon()));
        }
      }
      await Promise.all(pending);
      expect(reports.counts().kept).toBeLessThanOrEqual(3);
    }),
    { seed: seedFromEnv(), numRuns: 60 },
  );
  expect(reports.counts().hits).toBeGreaterThan(20);
});
