import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tempDir, waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { Autoscaling } from './autoscaling.js';
import { isDown, whyNoBalancer } from './balancer.js';
import { whyNoQuota } from './cpu-quota.js';
import { crashesOf, type Instance } from './fleet.js';
import { ELASTIC, REPLACEMENT } from './policy.js';
import { ProcessFleet } from './process-fleet.js';

/** Says that it is ready, answers everything, and ends by itself when it is asked for `/crash`. */
const PROGRAM = `
import { createServer } from 'node:http';
const server = createServer(({ url }, answer) => {
  if (url === '/crash') {
    console.error('out of heart');
    process.exit(7);
  }
  answer.end('ok');
}).listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ event: 'ready', url: 'http://127.0.0.1:' + server.address().port }));
});
process.on('SIGTERM', () => process.exit(0));
`;
/** Replicas that run it. */
async function startedIn(dir: string, replica: number): Promise<ProcessFleet> {
  const program = join(dir, 'program.mjs');
  await writeFile(program, PROGRAM);
  return ProcessFleet.start('monolith-replicas', { replica }, { replica: program, gateway: program, cache: program, log: program });
}

const whyNot = whyNoBalancer() ?? (await whyNoQuota());

it.skipIf(whyNot !== undefined)(
  'who ends by itself is cleared away, and named with its exit and last words; who is killed or removed is not',
  async () => {
    await using dir = await tempDir();
    await using fleet = await startedIn(dir.path, 3);
    const [first, second, third] = fleet.serving('replica');
    await fleet.kill(first!);
    await fleet.remove(second!);
    expect(crashesOf(fleet)).toEqual([]);
    await fetch(`${third!.url}/crash`).catch(() => undefined);
    await waitFor(() => fleet.serving('replica').length === 0, { what: 'it is cleared away', timeoutMs: 60_000, pollMs: 20 });
    expect(crashesOf(fleet)).toEqual([`${third!.name} ended by itself: exit code 7, out of heart`]);
  },
);

it.skipIf(whyNot !== undefined)(
  'the autoscaler kills one that stands still, and has another that the balancer reaches',
  async () => {
    await using dir = await tempDir();
    await using fleet = await startedIn(dir.path, 2);
    const frozen = fleet.serving('replica')[1]!;
    const autoscaling = new Autoscaling(fleet, { ...ELASTIC, instancesMin: 2, instancesMax: 2 }, ['replica'], {
      file: join(dir.path, 'decisions.jsonl'),
      read: async (instances: readonly Instance[]) => instances.map(() => ({})),
      replacement: { ...REPLACEMENT, unhealthyGraceMs: 500 },
    });
    await frozen.process.kill('SIGSTOP');
    autoscaling.start();
    try {
      expect(await frozen.process.exited).toMatchObject({ signal: 'SIGKILL' });
      await waitFor(
        async () => {
          const places = await fleet.places();
          return places.size === 2 && [...places.values()].every((place) => !isDown(place));
        },
        { what: 'the balancer reaches two', timeoutMs: 120_000, pollMs: 50 },
      );
      expect(fleet.serving('replica')).not.toContain(frozen);
    } finally {
      await autoscaling.stop();
    }
    expect(autoscaling.failures).toContainEqual(
      expect.stringContaining(`${frozen.name} was killed, as the balancer's checks had not reached it`),
    );
    // Nobody but the autoscaler ended it.
    expect(crashesOf(fleet)).toEqual([]);
  },
  300_000,
);
