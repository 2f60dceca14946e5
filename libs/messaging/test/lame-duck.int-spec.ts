import { within } from '@diptych/kernel';
import type { NatsServer } from '@diptych/testing';
import { freePort, startNatsServer, tempDir, waitFor } from '@diptych/testing';
import { connect as connectPlain } from '@nats-io/transport-node';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { NatsLink } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { Connection } from '../src/nats/connection.js';
import { parseServerAddress } from '../src/nats/dial.js';
import { Probe, probePort, type ProbePort } from './probe-port.js';
import { outcomeOf, type Outcome } from './rig.js';

/** Two brokers of a cluster, of which one can be made to end: `SIGUSR2`. It throws nobody out while a test runs. */
async function startCluster(ends: AsyncDisposableStack): Promise<{ lame: NatsServer; next: NatsServer }> {
  const dir = ends.use(await tempDir());
  const config = join(dir.path, 'nats.conf');
  await writeFile(config, 'lame_duck_grace_period: "5m", lame_duck_duration: "10m"');
  const [one, other] = [await freePort(), await freePort()];
  const start = (own: number, route: number) =>
    startNatsServer({
      args: ['-c', config, '--cluster', `nats://127.0.0.1:${own}`, '--cluster_name', 'c', '--routes', `nats://127.0.0.1:${route}`],
    });
  return { lame: ends.use(await start(one, other)), next: ends.use(await start(other, one)) };
}

/**
 * A broker that is about to be updated says so first. Who knows no better is thrown out some time later, with what it has in flight; these links leave by
 * themselves, and lose nothing.
 */
it('a link leaves a broker that says that it will end, and no call is lost or in doubt', { timeout: 120_000 }, async () => {
  await using ends = new AsyncDisposableStack();
  const { lame, next } = await startCluster(ends);

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

  const load = new Load(port, 8);
  await load.untilAnswered(100);
  await lame.kill('SIGUSR2');
  const moved = ['disconnected', 'connected'];
  await waitFor(() => changes[0]!.length >= 2 && changes[2]!.length >= 2, { timeoutMs: 60_000, what: 'both have moved' });
  await lame.kill('SIGKILL');
  await load.untilAnswered(100);
  const outcomes = await load.end();

  expect(changes).toEqual([moved, [], moved]);
  const failed = outcomes.filter(({ code }) => code !== 'answered');
  expect(failed.filter(({ code, definite }) => code !== 'UNAVAILABLE' || !definite)).toEqual([]);
  expect(faults.filter((fault) => /will end/.test(fault))).toHaveLength(2);
  expect(faults.filter((fault) => !/will end/.test(fault))).toEqual([]);
  expect(Math.min(...probes.map(({ seen }) => seen.length))).toBeGreaterThan(0);
});

/** Who serves a port alone is in its queue group all the time: there is nobody else whom the broker could pick. */
it('the only server of a port leaves such a broker, and callers elsewhere do not notice', { timeout: 120_000 }, async () => {
  await using ends = new AsyncDisposableStack();
  const { lame, next } = await startCluster(ends);
  const linkTo = async (server: NatsServer): Promise<NatsLink> => {
    const link = await connectNats({ servers: server.url, name: 'test', connectTimeoutMs: 60_000, onFault: () => undefined });
    ends.defer(() => link.close(0));
    return link;
  };
  const [serving, caller] = [await linkTo(lame), await linkTo(next)];
  const states: string[] = [];
  serving.onStatus((status) => states.push(status));
  await serving.serve(probePort, new Probe().port);
  const port = caller.client(probePort);
  await waitFor(() => caller.routing.members === 1, { timeoutMs: 60_000, what: 'the server is known' });
  const load = new Load(port, 64);
  await load.untilAnswered(1_000);
  await lame.kill('SIGUSR2');
  await waitFor(() => states.length >= 2, { timeoutMs: 60_000, what: 'it has moved' });
  await lame.kill('SIGKILL');
  await load.untilAnswered(1_000);
  expect(new Set((await load.end()).map(({ code }) => code))).toEqual(new Set(['answered']));
});

it('events for a queue group all arrive once while its only member leaves such a broker', { timeout: 120_000 }, async () => {
  await using ends = new AsyncDisposableStack();
  const { lame, next } = await startCluster(ends);
  const server = parseServerAddress(lame.url);
  const limits = { connectTimeoutMs: 60_000, pingIntervalMs: 500, pingsOutMax: 100, backlogBytesMax: 1_000_000 };
  const connection = await Connection.open({ servers: [server], name: 'test', onFault: () => undefined, ...limits });
  ends.defer(() => connection.close());
  const states: string[] = [];
  connection.onStatus((status) => states.push(status));
  connection.regard({ announceMove: () => undefined });
  const heard: number[] = [];
  connection.subscribe('events', ({ data }) => heard.push(Number(data.toString())), { queue: 'group', takesCalls: true });
  await connection.flush();
  const plain = await connectPlain({ servers: next.url });
  ends.defer(() => plain.close());
  let sent = 0;
  const emit = () => plain.publish('events', String(sent++));
  await waitFor(async () => (emit(), await plain.flush(), heard.length > 0), { timeoutMs: 60_000, what: 'both brokers know of the group' });
  const first = sent;
  await lame.kill('SIGUSR2');
  while (states.length < 2) {
    for (let i = 0; i < 10; i++) emit();
    await plain.flush();
  }
  await waitFor(() => heard.includes(sent - 1), { timeoutMs: 60_000, what: 'the last has arrived' });
  await connection.flush();
  const since = heard.filter((event) => event >= first).sort((one, other) => one - other);
  expect(since).toEqual(Array.from({ length: sent - first }, (_, i) => first + i));
});

/** Callers that each call again when they are answered. */
class Load {
  readonly #outcomes: Outcome[] = [];
  readonly #callers: Array<Promise<void>>;
  #isOver = false;

  constructor(port: ProbePort, callers: number) {
    this.#callers = Array.from({ length: callers }, () => this.#call(port));
  }

  async #call(port: ProbePort): Promise<void> {
    while (!this.#isOver) {
      const outcome = await outcomeOf(port.echo({ text: 'x' }, within(60_000)));
      this.#outcomes.push(outcome);
      // Not as fast as the processor can, while nothing can be called.
      if (outcome.code !== 'answered') await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  async untilAnswered(count: number): Promise<void> {
    const begun = this.#outcomes.length;
    await waitFor(() => this.#outcomes.slice(begun).filter(({ code }) => code === 'answered').length >= count, { timeoutMs: 60_000 });
  }

  async end(): Promise<readonly Outcome[]> {
    this.#isOver = true;
    await Promise.all(this.#callers);
    return this.#outcomes;
  }
}
