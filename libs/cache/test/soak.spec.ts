import { basename } from 'node:path';
import { fromSource, keepRecord, seedFromEnv, startProcess } from '@diptych/testing';
import { expect, it } from 'vitest';
import type { SoakReport, SoakTask } from './soak/soak-state.js';

/*
 * Claim: threads may do what they will with one `SharedLruCache`, and be terminated in the middle of it: entries and bytes never exceed their bounds, no value
 * is torn, nothing is seen that was invalidated, nobody waits for ever, and whatever a thread that died left behind is sound again. `LruCache` keeps to its
 * bounds as well, and accounts for every value that left.
 *
 * `npm test` does a small size, `npm run test:long` (DIPTYCH_LONG=1) a hundred million operations (twenty on `LruCache`) and 300 kills, with a record in
 * results/cache-soak. The first half of them is for what each thread's heap and the system's allocator keep at hand: memory was still growing at fifty million
 * once, and in 140 million not after 56.
 */
const long = process.env['DIPTYCH_LONG'] === '1';
const OPERATIONS = long ? 100_000_000 : 300_000;
const KILLS = long ? 300 : 8;

it(
  `${OPERATIONS} operations by threads with values of random sizes stay within the bounds, whole and fresh`,
  { timeout: long ? 3_600_000 : 120_000 },
  async () => {
    const { rssMb, ...report } = await soak({ seed: seedFromEnv(), operations: OPERATIONS, threads: 3, kills: 0 });
    expect(report).toMatchObject({ torn: 0, stale: 0, overBound: 0, problems: [] });
    expect([report.operations >= OPERATIONS, report.checked > OPERATIONS / 10, report.looks > 10]).toEqual([true, true, true]);
    expectFlat(rssMb);
  },
);

it(
  `${KILLS} threads terminated in the middle of their work leave no lock, no torn value and nothing stale`,
  { timeout: long ? 3_600_000 : 120_000 },
  async () => {
    const report = await soak({ seed: seedFromEnv(), operations: 20_000 * KILLS, threads: 2, kills: KILLS });
    expect(report).toMatchObject({ torn: 0, stale: 0, overBound: 0, problems: [], kills: KILLS });
    if (long) expect(report.killsInside).toBeGreaterThan(KILLS / 10);
  },
);

it(
  `${OPERATIONS / 5} operations on the cache of one thread keep to the bounds, and what left was reported`,
  { timeout: long ? 3_600_000 : 120_000 },
  async () => {
    const task = { seed: seedFromEnv(), operations: OPERATIONS / 5, threads: 1, kills: 0 };
    const { rssMb, ...report } = await soak(task, new URL('soak/soak-lru-main.ts', import.meta.url));
    expect(report).toMatchObject({ torn: 0, overBound: 0, problems: [] });
    expect([report.operations, report.checked > task.operations / 100, report.looks > 5]).toEqual([task.operations, true, true]);
    expectFlat(rssMb);
  },
);

/** In the last quarter it takes at most a twentieth more than in the one before, when all was warm. */
function expectFlat(rssMb: readonly number[]): void {
  if (long) expect(Math.max(...rssMb.slice(15))).toBeLessThan(1.05 * Math.max(...rssMb.slice(10, 15)));
}

async function soak(task: SoakTask, program = new URL('soak/soak-main.ts', import.meta.url)): Promise<SoakReport> {
  await using run = await startProcess({
    ...fromSource(program, JSON.stringify(task)),
    name: 'the soak',
  });
  expect(await run.exited, run.stderr.slice(-2_000)).toEqual({ code: 0, signal: null });
  const report = JSON.parse(run.stdout) as SoakReport;
  console.info(`cache soak ${JSON.stringify({ ...task, ...report })}`);
  if (long)
    keepRecord(
      'cache-soak',
      { at: new Date().toISOString(), ...task, ...report },
      `-${basename(program.pathname, '.ts')}-${task.kills}-kills`,
    );
  return report;
}
