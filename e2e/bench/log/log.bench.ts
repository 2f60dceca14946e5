import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from '@diptych/testing';
import { conclude, runArm, runBench, shuffled } from '../arms.js';
import type { Sample } from '../messaging/bench-run.js';
import type { ArmName } from './arm-main.js';
import type { Options } from './options.js';
import { parseOptions, USAGE } from './options.js';
import { FILLED_KEYS, ROWS } from './rows.js';

/*
 * Question: what does the log cost beside bare loops that move the same bytes with the same asynchronous calls?
 *
 * Method: docs/benchmarks/log.md. In short: each arm in a fresh process each round, the arms of a row one after the other in random order,
 * medians of the rounds compared, results checked.
 *
 * Exit code: 0 when all bars are met, 1 when one is missed, 2 when it could not be measured.
 */
process.exitCode = await runBench(USAGE, async (args, ended) => {
  const options = parseOptions(args);
  const directory = await mkdtemp(join(options.directory, 'bench-log-'));
  const beganMs = performance.now();
  console.log(`${options.rounds} rounds, seed ${options.seed} (repeat with --seed ${options.seed})`);
  try {
    const samples = await measureAll(options, directory, ended);
    return conclude('log', options, ROWS, samples, performance.now() - beganMs);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

async function measureAll({ rows, rounds, seed }: Options, directory: string, signal: AbortSignal): Promise<Sample[]> {
  const random = seededRandom(seed);
  const wanted = ROWS.filter(({ id }) => rows.includes(id));
  const filled = join(directory, 'filled');
  if (wanted.some(({ how }) => Object.values(how).some((arm) => arm.directory === 'filled')))
    await runProgram('fill', filled, { keys: FILLED_KEYS }, signal);
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    const beganMs = performance.now();
    for (const row of shuffled(wanted, random))
      for (const [arm, how] of shuffled(Object.entries(row.how), random)) {
        const place = how.directory === 'filled' ? filled : join(directory, 'fresh');
        samples.push({ row: row.id, arm, round, figures: await runProgram(how.program, place, how.parameters, signal) });
        if (how.directory === 'fresh') await rm(place, { recursive: true });
      }
    console.log(`round ${round} of ${rounds}: ${((performance.now() - beganMs) / 1_000).toFixed(0)} s`);
  }
  return samples;
}

async function runProgram(program: ArmName, directory: string, parameters: object, signal: AbortSignal): Promise<Record<string, number>> {
  await mkdir(directory, { recursive: true });
  return runArm(new URL('./arm-main.js', import.meta.url), [program, directory, JSON.stringify(parameters)], signal);
}
