import { join } from 'node:path';
import { fromSource, seedFromEnv, startProcess, tempDir } from '@diptych/testing';
import { expect, it } from 'vitest';

/*
 * Claim: with one of three caches paused, cut off and given back, no read is older than the bound or than its token, and no delete comes back where or when it may
 * not; and the experiment that says so would notice.
 *
 * Method: `npm run lab -- staleness` in a small size. It goes on until what it does to the cache is proven and reads were stale, so it may be slow, and not in vain.
 */
it.each([
  {
    what: 'an edge with a cache',
    args: ['--way', 'edges'],
    code: 0,
    says: /violations: 0 of .* 0 deletes .* 0 older .* 0 that nobody wrote/,
  },
  { what: 'one of the caches behind a gateway', args: ['--way', 'any'], code: 0, says: /violations: 0 of .* 0 deletes .* 0 older/ },
  {
    what: 'an edge whose cache was told to be older than it is judged by',
    args: ['--way', 'edges', '--cache-stale-ms', '10000'],
    code: 1,
    says: /violations: 0 of .* [1-9]\d* older than the bound/,
  },
])('$what', { timeout: 600_000 }, async ({ args, code, says }) => {
  await using dir = await tempDir('diptych-staleness-');
  const size = ['--scale', '40', '--seed', String(seedFromEnv() % 1_000_000_000), '--out', join(dir.path, 'out')];
  await using lab = await startProcess({
    ...fromSource(new URL('../tools/lab/src/main.ts', import.meta.url), 'staleness', ...args, ...size),
    name: 'the lab',
  });
  const ended = await lab.exited;
  console.info(lab.stdout);
  expect(ended.code, `${lab.stdout}${lab.stderr}`).toBe(code);
  expect(lab.stdout).toMatch(says);
});
