import { join } from 'node:path';
import { fromSource, MONOLITHS, seedFromEnv, startProcess, tempDir } from '@diptych/testing';
import { expect, it } from 'vitest';

/*
 * Claim: get, put, delete and conditional writes of each key are linearizable in the monolith of one thread and in that of several, with clients that overlap,
 * under SIGKILL and restart. (That the checker finds what is wrong is shown beside it, in tools/lab/src/linearizability.)
 *
 * `npm test` does a small size, `npm run test:long` (DIPTYCH_LONG=1) a million operations each, with a record in results/linearizability.
 */
const long = process.env['DIPTYCH_LONG'] === '1';
const SIZE = long ? { operations: 1_000_000, crashes: 40 } : { operations: 2_000, crashes: 1 };

it.each(MONOLITHS.map(({ name }) => name))(
  `%s: ${SIZE.operations} operations and ${SIZE.crashes} crashes have an order that explains every answer`,
  { timeout: long ? 4 * 3_600_000 : 600_000 },
  async (arm) => {
    await using dir = await tempDir('diptych-linearizability-');
    const options = { '--operations': SIZE.operations, '--crashes': SIZE.crashes, '--arm': arm, '--seed': seedFromEnv() % 1_000_000_000 };
    const args = Object.entries(options).flatMap(([option, value]) => [option, String(value)]);
    const out = long ? [] : ['--out', join(dir.path, 'out')];
    await using lab = await startProcess({
      ...fromSource(new URL('../tools/lab/src/main.ts', import.meta.url), 'linearizability', ...args, ...out),
      name: 'the lab',
    });
    const { code } = await lab.exited;
    expect(code, `${lab.stdout}${lab.stderr}`).toBe(0);
    console.info(lab.stdout);
    expect(lab.stdout).toMatch(new RegExp(`^${arm}: 0 violations in \\d+ operations on (\\d+) keys: \\1 judged, 0 undecided$`, 'm'));
    expect(Number(/(\d+) evictions/.exec(lab.stdout)?.[1]), 'the cache is too small for all keys').toBeGreaterThan(0);
  },
);
