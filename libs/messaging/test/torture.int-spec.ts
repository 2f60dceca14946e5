import { fromSource, keepRecord, seedFromEnv, startProcess } from '@diptych/testing';
import { expect, it } from 'vitest';

/**
 * A great many calls of every kind, with random deadlines, cancellations, handlers that fail or never end, streams, values of all sizes and plain JSON
 * clients among them, while servers drain and serve anew and the broker is killed three times. `torture/model.ts` says how each may end; every one ends so,
 * once (`torture/second-ends.ts` looks where a second end would show), no handler runs twice, and nothing is left in the end. 20,000 calls here, a million in `npm run test:long`. A run is repeated by its seed, not to the
 * letter: what is called follows from it, and what the broker and the threads do meanwhile does not.
 */
const long = process.env['DIPTYCH_LONG'] === '1';
const calls = long ? 1_000_000 : 20_000;

interface Findings {
  readonly ms: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly left: ReadonlyArray<{ readonly left: object; readonly status: string; readonly faults: readonly string[] }>;
  readonly faults: readonly string[];
  readonly perServer: readonly number[];
  readonly ended: number;
  readonly replied: number;
  readonly [name: string]: unknown;
}

it(`of ${calls} calls each ends once, as it may, and nothing is left`, { timeout: long ? 1_800_000 : 120_000 }, async () => {
  const seed = seedFromEnv();
  await using run = await startProcess({
    ...fromSource(new URL('torture/torture-main.ts', import.meta.url), `${seed}`, `${calls}`),
    name: 'torture',
  });
  // It ends by itself, and only when nothing holds it open.
  expect(await run.exited, run.stderr.slice(-2_000)).toEqual({ code: 0, signal: null });
  const findings = JSON.parse(run.stdout) as Findings;
  if (long) keepRecord('torture', { at: new Date().toISOString(), ...findings });
  const { ms, outcomes, left, perServer, ended, replied } = findings;
  console.info(`${calls} calls in ${Math.round(ms / 1_000)} s: ${JSON.stringify(outcomes)}`);
  expect(findings).toMatchObject({
    violations: [],
    secondEnds: [],
    restarts: 3,
    inFlight: 0,
    deadlinesLeft: 0,
    subscriptionsLeft: 0,
    exits: [0, 0, 0],
    handles: [],
  });
  // It looked: nearly all calls were sent, and most replied to.
  expect([ended > calls * 0.8, replied > calls * 0.6], `${ended} ended, ${replied} of them by a reply`).toEqual([true, true]);
  for (const server of left) expect(server).toMatchObject({ left: { inFlight: 0, deadlines: 0 }, status: 'connected' });
  // Faults are what handlers were told to do wrong, and the broker.
  const known =
    /^torture\.run failed: |^the reply of torture\.run (is larger than|has \d+ bytes as JSON)|^the connection to NATS was lost|^replies are lost/;
  expect([...findings.faults, ...left.flatMap(({ faults }) => faults)].filter((fault) => !known.test(fault))).toEqual([]);
  // Nobody is believed to have calls that ended long ago.
  expect(Math.min(...perServer)).toBeGreaterThan(0.8 * Math.max(...perServer));
  for (const code of [
    'answered',
    'CANCELLED',
    'DEADLINE_EXCEEDED',
    'INTERNAL',
    'OVERLOADED, definite',
    'TOO_LARGE, definite',
    'INVALID_REQUEST, definite',
  ])
    expect(outcomes[code], code).toBeGreaterThan(0);
});
