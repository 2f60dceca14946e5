import { seededRandom } from '@diptych/testing';
import { conclude, runArm, runBench, shuffled } from '../arms.js';
import type { Figures, Sample } from '../messaging/bench-run.js';
import { assertWrk } from '../wrk.js';
import type { Options } from './options.js';
import { parseOptions, USAGE } from './options.js';
import { ROWS } from './rows.js';

/*
 * Question: what do the caches cost beside `lru-cache`, what do threads gain from one that they share, and what do its locks and shards do?
 *
 * Method: docs/benchmarks/cache.md. In short: fresh processes each round, those of a row one after the other in random order, medians of the
 * rounds compared, results checked.
 *
 * Exit code: 0 when all bars are met, 1 when one is missed, 2 when it could not be measured.
 */
process.exitCode = await runBench(USAGE, async (args, ended) => {
  const options = parseOptions(args);
  if (options.rows.includes('http')) assertWrk();
  const beganMs = performance.now();
  console.log(`${options.rounds} rounds, seed ${options.seed} (repeat with --seed ${options.seed})`);
  const samples = await measureAll(options, ended);
  return conclude('cache', options, ROWS, samples, performance.now() - beganMs, {
    page: 'docs/locks-and-shards.md',
    rows: ['mixed', 'threads', 'spill'],
  });
});

async function measureAll({ rows, rounds, seed }: Options, ended: AbortSignal): Promise<Sample[]> {
  const random = seededRandom(seed);
  const wanted = ROWS.filter(({ id }) => rows.includes(id));
  const main = new URL('./arm-main.js', import.meta.url);
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    const beganMs = performance.now();
    for (const row of shuffled(wanted, random))
      for (const { program, parameters } of shuffled(row.jobs, random)) {
        const arms = await runArm<Record<string, Figures>>(main, [program, JSON.stringify({ ...parameters, seed: seed + round })], ended);
        for (const [arm, figures] of Object.entries(arms)) samples.push({ row: row.id, arm, round, figures });
      }
    console.log(`round ${round} of ${rounds}: ${((performance.now() - beganMs) / 1_000).toFixed(0)} s`);
  }
  return samples;
}
