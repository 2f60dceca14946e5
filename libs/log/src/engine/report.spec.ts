import { setImmediate as nextTurn } from 'node:timers/promises';
import { within } from '@diptych/kernel';
import { assertNoLeaks, openHandles } from '@diptych/testing';
import { expect, it } from 'vitest';
import { put, remove, soon, useLogs } from '../../test/log-fixture.js';
import type { FileLog } from './file-log.js';
import type { ReportMode } from './report.js';

const logs = useLogs();
const MODES: readonly ReportMode[] = ['loop', 'yielding', 'worker'];

async function fill(log: FileLog, keys: number): Promise<void> {
  const appends: Array<Promise<unknown>> = [];
  for (let i = 0; i < keys; i++) appends.push(put(log, `k/${i}`, `value ${i} `.repeat((i * 7) % 40)));
  appends.push(put(log, 'k/large', new Uint8Array(600_000).fill(3)), put(log, 'k/emoji/\u{1F600}', ''), put(log, 'k/～', 'x'));
  await Promise.all(appends);
  await remove(log, 'k/3');
}

it('answers alike however it runs', async () => {
  const filler = await logs.open({ segmentBytes: 65_536 });
  await fill(filler, 500);
  await filler.close();
  const before = openHandles();
  const reports = [];
  for (const reportMode of MODES) {
    const log = await logs.open({ reportMode });
    reports.push(await log.report({ prefix: 'k/' }, soon()), await log.report({ prefix: 'none' }, soon()));
    await log.close();
  }
  expect(reports[0]!.entries).toBe(502);
  expect(reports[2]).toEqual(reports[0]);
  expect(reports[4]).toEqual(reports[0]);
  expect(reports[3]).toEqual(reports[1]);
  expect(reports[5]).toEqual(reports[1]);
  await assertNoLeaks(before);
});

it('loop lets nothing else run; yielding and worker do', async () => {
  const turns = new Map<ReportMode, number>();
  for (const reportMode of MODES) {
    const log = await logs.open({ reportMode });
    if (reportMode === 'loop') await fill(log, 1_000);
    let done = false;
    let count = 0;
    const report = log.report({ prefix: '' }, soon()).finally(() => (done = true));
    while (!done) {
      await nextTurn();
      count++;
    }
    await report;
    turns.set(reportMode, count);
    await log.close();
  }
  expect(turns.get('loop')).toBeLessThanOrEqual(1);
  expect(turns.get('yielding')).toBeGreaterThan(3);
  expect(turns.get('worker')).toBeGreaterThan(3);
});

it('shows one state, though others write meanwhile', async () => {
  const log = await logs.open();
  await fill(log, 300);
  const expected = await log.report({ prefix: '' }, soon());
  const report = log.report({ prefix: '' }, soon());
  const writes = Array.from({ length: 300 }, (_, i) => put(log, `k/${i}`, 'changed'));
  await Promise.all(writes);
  expect(await report).toEqual(expected);
  expect((await log.report({ prefix: '' }, soon())).contentHash).not.toBe(expected.contentHash);
});

it.each(['yielding', 'worker'] as const)('ends early when nobody wants it any more: %s', async (reportMode) => {
  const log = await logs.open({ reportMode });
  await fill(log, 500);
  const controller = new AbortController();
  const cancelled = log.report({ prefix: '' }, within(15_000, { signal: controller.signal }));
  controller.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED', definite: true });
  const closing = log.report({ prefix: '' }, soon());
  const closed = expect(closing).rejects.toMatchObject({ code: 'CANCELLED' });
  await log.close();
  await closed;
});

it('refuses more than run at once', async () => {
  const log = await logs.open({ reportsMax: 1 });
  await fill(log, 300);
  const first = log.report({ prefix: '' }, soon());
  await expect(log.report({ prefix: '' }, soon())).rejects.toMatchObject({ code: 'OVERLOADED', definite: true });
  await first;
  await log.report({ prefix: '' }, soon());
});
