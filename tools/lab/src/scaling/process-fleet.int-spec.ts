import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tempDir, waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { whyNoBalancer } from './balancer.js';
import { whyNoQuota } from './cpu-quota.js';
import { crashesOf } from './fleet.js';
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
const whyNot = whyNoBalancer() ?? (await whyNoQuota());

it.skipIf(whyNot !== undefined)(
  'who ends by itself is cleared away, and named with its exit and last words; who is killed or removed is not',
  async () => {
    await using dir = await tempDir();
    const program = join(dir.path, 'program.mjs');
    await writeFile(program, PROGRAM);
    const mains = { replica: program, gateway: program, cache: program, log: program };
    await using fleet = await ProcessFleet.start('monolith-replicas', { replica: 3 }, mains);
    const [first, second, third] = fleet.serving('replica');
    await fleet.kill(first!);
    await fleet.remove(second!);
    expect(crashesOf(fleet)).toEqual([]);
    await fetch(`${third!.url}/crash`).catch(() => undefined);
    await waitFor(() => fleet.serving('replica').length === 0, { what: 'it is cleared away', timeoutMs: 60_000, pollMs: 20 });
    expect(crashesOf(fleet)).toEqual([`${third!.name} ended by itself: exit code 7, out of heart`]);
  },
);
