import { seededRandom, seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Weather } from './lossy-way.js';
import { CALM } from './lossy-way.js';
import type { Step } from './lossy-world.js';
import { LossyWorld } from './lossy-world.js';

/*
 * Goal: whatever the way between log and cache does to messages (it loses, delays, repeats and reorders them, and is cut), and whoever stands still, the
 * cache shows nothing older than `maxStaleMs`, with a token nothing older than the token, no delete that comes back, nothing that the log
 * has not said, and takes no more memory than it may; and when the way is whole again, so is the cache.
 *
 * Method: random histories on fake clocks (`lossy-world.ts`). Every answer is judged against what the log was at that time.
 */
const long = process.env['DIPTYCH_LONG'] === '1';
const share = fc.double({ min: 0, max: 1, noNaN: true });
const delayMs = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 50 }), fc.integer({ min: 50, max: 3_000 }));
const weather: fc.Arbitrary<Weather> = fc.oneof(
  fc.constant(CALM),
  fc.record({
    loss: share,
    repeats: share,
    eventDelayMs: delayMs,
    callDelayMs: delayMs,
    cut: fc.constantFrom('no' as const, 'calls' as const),
  }),
  fc.constant({ ...CALM, cut: 'all' as const }),
  // Nothing is heard, and calls are as slow as they may be.
  fc.record({ ...constants(CALM), loss: fc.constant(1), callDelayMs: fc.integer({ min: 400, max: 1_500 }) }),
  // Nothing can be asked, and what is heard is old news.
  fc.record({
    ...constants(CALM),
    loss: fc.double({ min: 0, max: 0.5, noNaN: true }),
    eventDelayMs: fc.integer({ min: 1_000, max: 3_000 }),
    cut: fc.constant('calls' as const),
  }),
);
const key = fc.oneof(fc.constant(0), fc.nat(5));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom('put' as const, 'delete' as const), key }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('read' as const), key, token: fc.option(fc.nat(2), { nil: undefined }) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 600 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('weather' as const), weather }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('freeze' as const), ms: fc.integer({ min: 1, max: 4_000 }), timersFirst: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'compact' as const, 'purge' as const) }) },
);

function constants<T extends object>(of: T): { [Name in keyof T]: fc.Arbitrary<T[Name]> } {
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [name, fc.constant(value)])) as {
    [Name in keyof T]: fc.Arbitrary<T[Name]>;
  };
}

/** Looks at one key as the weather changes, and for longer than memory may answer. */
const storm: fc.Arbitrary<Step[]> = fc
  .record({
    before: weather,
    after: weather,
    key,
    passes: fc.array(fc.integer({ min: 20, max: 500 }), { minLength: 3, maxLength: 8 }),
    last: weather,
  })
  .map(({ before, after, last, key, passes }) => {
    const look: Step[] = passes.flatMap((ms) => [
      { do: 'pass', ms },
      { do: 'read', key },
    ]);
    return [
      { do: 'weather', weather: before },
      { do: 'read', key },
      ...look,
      { do: 'weather', weather: after },
      { do: 'put', key },
      ...look,
      { do: 'weather', weather: last },
      ...look,
    ];
  });

it(
  'in any weather the cache keeps its promises',
  async () => {
    const total = { plays: 0, reads: 0, answers: 0, stale: 0, hits: 0, refusals: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof({ weight: 12, arbitrary: step.map((one) => [one]) }, { weight: 1, arbitrary: storm }), {
          maxLength: 80,
          size: 'max',
        }),
        fc.nat(),
        fc.constantFrom(0, -3_600_000, 3_600_000, 77),
        async (steps, seed, skewMs) => {
          const world = await LossyWorld.open(seededRandom(seed), skewMs);
          for (const one of steps.flat()) await world.play(one);
          await world.heal();
          total.plays++;
          for (const name of ['reads', 'answers', 'stale', 'hits', 'refusals'] as const) total[name] += world.tally[name];
        },
      ),
      { seed: seedFromEnv(), numRuns: long ? 5_000 : 150 },
    );
    console.info(`lossy way: ${JSON.stringify(total)}`);
    // What is said above is not said of nothing.
    expect(total.stale).toBeGreaterThan(total.plays / 10);
    expect(total.hits).toBeGreaterThan(total.plays);
    expect(total.refusals).toBeGreaterThan(0);
  },
  long ? 3_600_000 : 120_000,
);
