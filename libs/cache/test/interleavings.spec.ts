import { Lifetime, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import type { Position } from '@diptych/log';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CoherentCache } from '../src/engine/coherent-cache.js';
import { ModelLog } from './model-log.js';

/*
 * Goal: reads, fills and commits of one key may meet in any order, and still no read shows less than it must, nothing stale
 * stays, no delete comes back.
 *
 * Method: a world of a few steps (a commit; a reader begins; the log looks at its state for a read; the answer leaves; with late
 * delivery, an event arrives). Every order of them is played: depth first, each play replaying the choices of the one before
 * up to the last that has an alternative. Larger worlds are played at random.
 */
interface World {
  readonly commits: number;
  readonly readers: number;
  /** Readers bring the token of the newest commit. */
  readonly tokens: boolean;
  readonly late: boolean;
  /** Steps may follow each other before promises settle: the choice is one more step. */
  readonly abrupt?: boolean;
}

async function play(world: World, choose: (options: number) => number): Promise<void> {
  const clock = new FakeClock();
  const lifetime = new Lifetime('play');
  const log = new ModelLog({ clock, delivery: world.late ? 'best-effort' : 'synchronous' });
  log.put('other', 'x');
  log.put('k', 'before');
  const cache = await CoherentCache.open(log, {
    lifetime,
    clock,
    entriesMax: 10,
    bytesMax: 100_000,
    maxStaleMs: 1_000,
    flightTimeoutMs: 60_000,
    flightsMax: 100,
  });
  log.holdReads = true;
  log.holdEvents = world.late;

  const tokens: Position[] = [log.head];
  const reading: Array<Promise<void>> = [];
  const states: Array<string | undefined> = ['before'];
  const begin = () => {
    const least = states.length - 1;
    const token = world.tokens ? tokens.at(-1) : undefined;
    const show = async () => {
      const { entry, asOf } = await cache.get({ key: 'k', token }, within(50_000, { clock }));
      const shown = entry && Buffer.from(entry.value).toString();
      const earliest = world.late && !token ? 0 : least;
      // Each state differs from all others, but for the absences: any that it may have been will do.
      const may = states.slice(earliest, states.length);
      expect(may, `a read that began after ${least} commits, answered after ${states.length - 1}`).toContain(shown);
      if (token) expect(asOf.revision).toBeGreaterThanOrEqual(token.revision);
    };
    reading.push(show());
  };
  const commit = () => {
    const number = states.length;
    states.push(number % 2 === 1 ? undefined : `value ${number}`);
    tokens.push(number % 2 === 1 ? log.delete('k') : log.put('k', `value ${number}`));
  };

  let [begun, committed] = [0, 0];
  for (let quiet = false; ;) {
    const steps: Array<() => void> = [];
    if (committed < world.commits) steps.push(() => (committed++, commit()));
    if (begun < world.readers) steps.push(() => (begun++, begin()));
    for (const read of log.heldReads) steps.push(read.looked ? () => read.answer() : () => read.look());
    if (log.heldEvents.length > 0) steps.push(() => log.deliver(1));
    if (steps.length === 0 && quiet) break;
    if (steps.length > 0) steps[choose(steps.length)]!();
    quiet = steps.length === 0 || !world.abrupt || choose(2) === 0;
    if (quiet) await settled();
  }
  await Promise.all(reading);

  // All is quiet and every event has arrived: whatever is held must be the truth.
  log.holdReads = false;
  const last = await cache.get({ key: 'k' }, within(1_000, { clock }));
  expect(last.entry && Buffer.from(last.entry.value).toString(), 'after all').toBe(states.at(-1));
  expect(cache.flights).toBe(0);
  await lifetime.close();
  expect([clock.pending, log.listeners]).toEqual([0, 0]);
}

/** All promises that can settle have. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

async function playAll(world: World): Promise<number> {
  let plays = 0;
  for (let path: Array<{ choice: number; options: number }> | undefined = []; path; plays++) {
    const taken: Array<{ choice: number; options: number }> = [];
    await play(world, (options) => {
      const choice = path![taken.length]?.choice ?? 0;
      taken.push({ choice, options });
      return choice;
    });
    while (taken.length > 0 && taken.at(-1)!.choice === taken.at(-1)!.options - 1) taken.pop();
    if (taken.length === 0) path = undefined;
    else path = [...taken.slice(0, -1), { choice: taken.at(-1)!.choice + 1, options: taken.at(-1)!.options }];
  }
  return plays;
}

describe('in every order of steps', () => {
  it('with the log in one process, a read shows what was acknowledged before it', async () => {
    expect(await playAll({ commits: 2, readers: 3, tokens: false, late: false })).toBeGreaterThan(1_000);
  });

  it('so too when promises have not settled between steps', async () => {
    expect(await playAll({ commits: 1, readers: 2, tokens: false, late: false, abrupt: true })).toBeGreaterThan(2_000);
  });

  it('with late events, a read with a token shows what the token stands for', async () => {
    expect(await playAll({ commits: 2, readers: 2, tokens: true, late: true })).toBeGreaterThan(1_000);
  });

  it('with late events and without tokens, nothing stale stays once they have arrived', async () => {
    expect(await playAll({ commits: 2, readers: 2, tokens: false, late: true })).toBeGreaterThan(1_000);
  });
});

describe('in random orders of larger worlds', () => {
  it.each([
    { tokens: false, late: false },
    { tokens: true, late: false },
    { tokens: true, late: true },
    { tokens: false, late: true },
  ])('%j', async (kind) => {
    const shape = fc.record({ commits: fc.integer({ min: 1, max: 6 }), readers: fc.integer({ min: 1, max: 8 }), abrupt: fc.boolean() });
    const choices = fc.infiniteStream(fc.nat());
    await fc.assert(
      fc.asyncProperty(shape, choices, (size, stream) => play({ ...size, ...kind }, (options) => stream.next().value % options)),
      { numRuns: 300, seed: seedFromEnv() },
    );
  });
});
