import { within } from '@diptych/kernel';
import { freePort, startNatsServer, tempDir, waitFor } from '@diptych/testing';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { NatsLink } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { Probe, probePort } from './probe-port.js';
import { outcomeOf, type Outcome } from './rig.js';

/**
 * A broker that is about to be updated says so first. Who knows no better is thrown out some time later, with what it has in flight; these links leave by
 * themselves, and lose nothing.
 */
it('a link leaves a broker that says that it will end, and no call is lost or in doubt', { timeout: 120_000 }, async () => {
  await using ends = new AsyncDisposableStack();
  const dir = ends.use(await tempDir());
  const config = join(dir.path, 'nats.conf');
  // It throws nobody out while the test runs.
  await writeFile(config, 'lame_duck_grace_period: "5m", lame_duck_duration: "10m"');
  const [one, other] = [await freePort(), await freePort()];
  const start = (own: number, route: number) =>
    startNatsServer({
      args: ['-c', config, '--cluster', `nats://127.0.0.1:${own}`, '--cluster_name', 'c', '--routes', `nats://127.0.0.1:${route}`],
    });
  const lame = ends.use(await start(one, other));
  const next = ends.use(await start(other, one));

  const faults: string[] = [];
  const changes: string[][] = [];
  const connect = async (servers: readonly string[]): Promise<NatsLink> => {
    const link = await connectNats({ servers, name: 'test', connectTimeoutMs: 60_000, onFault: (fault) => faults.push(fault.message) });
    ends.defer(() => link.close(0));
    const states: string[] = [];
    changes.push(states);
    link.onStatus((status) => states.push(status));
    return link;
  };
  // Where the others are they learn from the one they are at; the servers, of which one was told of both, are at either.
  const [serving, alsoServing, caller] = [await connect([lame.url]), await connect([next.url]), await connect([lame.url])];
  const probes = [new Probe(), new Probe()];
  await serving.serve(probePort, probes[0]!.port);
  await alsoServing.serve(probePort, probes[1]!.port);
  const port = caller.client(probePort);
  await waitFor(() => caller.routing.members === 2, { timeoutMs: 60_000, what: 'both servers are known' });

  const outcomes: Outcome[] = [];
  let isOver = false;
  const callers = Array.from({ length: 8 }, async () => {
    while (!isOver) {
      const outcome = await outcomeOf(port.echo({ text: 'x' }, within(60_000)));
      outcomes.push(outcome);
      // Not as fast as the processor can, while nothing can be called.
      if (outcome.code !== 'answered') await new Promise<void>((resolve) => setImmediate(resolve));
    }
  });
  const untilAnswered = async (count: number) => {
    const begun = outcomes.length;
    await waitFor(() => outcomes.slice(begun).filter(({ code }) => code === 'answered').length >= count, { timeoutMs: 60_000 });
  };
  await untilAnswered(100);
  await lame.kill('SIGUSR2');
  const moved = ['disconnected', 'connected'];
  await waitFor(() => changes[0]!.length >= 2 && changes[2]!.length >= 2, { timeoutMs: 60_000, what: 'both have moved' });
  await lame.kill('SIGKILL');
  await untilAnswered(100);
  isOver = true;
  await Promise.all(callers);

  expect(changes).toEqual([moved, [], moved]);
  const failed = outcomes.filter(({ code }) => code !== 'answered');
  expect(failed.filter(({ code, definite }) => code !== 'UNAVAILABLE' || !definite)).toEqual([]);
  expect(faults.filter((fault) => /will end/.test(fault))).toHaveLength(2);
  expect(faults.filter((fault) => !/will end/.test(fault))).toEqual([]);
  expect(Math.min(...probes.map(({ seen }) => seen.length))).toBeGreaterThan(0);
});
