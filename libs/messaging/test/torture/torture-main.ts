import { get } from 'node:http';
import { Worker } from 'node:worker_threads';
import { deadlines, systemClock } from '@diptych/kernel';
import type { NatsServer } from '@diptych/testing';
import { freePort, leakedSince, openHandles, seededRandom, startNatsServer, waitFor } from '@diptych/testing';
import { Callers } from './callers.js';
import { SecondEnds } from './second-ends.js';
import { Tally } from './tally.js';
import type { ServerData } from './torture-server.js';

/**
 * One whole torture in a process of its own, which must end by itself: `torture-main <seed> <calls>`. Writes its findings as one line of JSON.
 *
 * Several callers call servers in other threads, about 250 calls at a time. Meanwhile servers take turns to drain and serve anew, and the broker is killed
 * and started again three times, once while a server drains.
 */
const SERVERS = 3;
const RESTARTS = 3;
const AT_A_TIME = 256;

const [seed, calls] = process.argv.slice(2).map(Number) as [number, number];
const before = openHandles();
const startMs = systemClock.nowMs();
const random = seededRandom(seed);
const tally = new Tally(seed, calls);
const secondEnds = new SecondEnds();
const monitorPort = await freePort();
const broker = await startNatsServer({ args: ['-m', String(monitorPort)] });

class Server {
  readonly #worker: Worker;
  readonly exited: Promise<number>;
  constructor(name: string) {
    const workerData: ServerData = { url: broker.url, name, begun: tally.begun, wrong: tally.wrong };
    this.#worker = new Worker(new URL('torture-server.ts', import.meta.url), { workerData });
    this.exited = new Promise((resolve, reject) => this.#worker.once('exit', resolve).once('error', reject));
  }

  answer(): Promise<unknown> {
    return new Promise((resolve) => this.#worker.once('message', resolve));
  }

  ask(message: 'cycle' | 'release'): Promise<unknown> {
    const answer = this.answer();
    this.#worker.postMessage(message);
    return answer;
  }

  async close(): Promise<number> {
    this.#worker.postMessage('close');
    return this.exited;
  }
}

const servers = Array.from({ length: SERVERS }, (_, i) => new Server(`server ${i}`));
await Promise.all(servers.map((server) => server.answer()));
const callers = await Callers.connect(broker.url, tally, secondEnds);
await callers.ready(SERVERS);
const subscriptions = await subscriptionsAt(monitorPort);
await callers.connectPlain();

let next = 0;
let cycling: Promise<unknown> = Promise.resolve();
let isCycling = false;
let cycles = 0;
let restarting: Promise<void> | undefined;
let restarts = 0;

await Promise.all(Array.from({ length: AT_A_TIME }, callOn));
await Promise.all([cycling, restarting]);
await callers.ready(SERVERS);
const perServer = await callers.spread(tally.begun, calls);
const left = await Promise.all(servers.map((server) => server.ask('release')));
await callers.closePlain();
const deadlinesLeft = await counted(() => deadlines.size, 0);
const subscriptionsLeft = (await counted(() => subscriptionsAt(monitorPort), subscriptions)) - subscriptions;
const inFlight = callers.inFlight;
await callers.close();
const exits = await Promise.all(servers.map((server) => server.close()));
tally.lookAtWhatRan();
await broker.stop();
await counted(() => leakedSince(before).length, 0);

console.log(
  JSON.stringify({
    seed,
    calls,
    ms: Math.round(systemClock.nowMs() - startMs),
    restarts,
    cycles,
    ...tally.result,
    secondEnds: secondEnds.found,
    ended: secondEnds.ended,
    replied: secondEnds.replied,
    perServer,
    left,
    inFlight,
    deadlinesLeft,
    subscriptionsLeft,
    exits,
    faults: callers.faults,
    handles: leakedSince(before),
  }),
);

/** Makes one call after another until all are made, and what else happens at certain of them. */
async function callOn(): Promise<void> {
  while (next < calls) {
    const i = next++;
    if (restarts < RESTARTS && !restarting && i >= ((restarts + 0.5) * calls) / RESTARTS) {
      restarting = restart(broker).finally(() => (restarting = undefined));
    }
    if (!isCycling && !restarting && random() < (20 * SERVERS) / calls) cycle();
    await callers.make(i);
  }
}

function cycle(): void {
  isCycling = true;
  cycles++;
  const over = tally.begin('drain');
  cycling = servers[cycles % SERVERS]!.ask('cycle').finally(() => {
    isCycling = false;
    over();
  });
}

async function restart(broker: NatsServer): Promise<void> {
  if (restarts === 1 && !isCycling) cycle();
  const over = tally.begin('restart');
  restarts++;
  await broker.kill();
  await broker.restart();
  await cycling;
  await callers.ready(SERVERS);
  await callers.connectPlain();
  over();
}

/** What the broker itself counts, of all connections. */
async function subscriptionsAt(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/subsz', agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve((JSON.parse(text) as { num_subscriptions: number }).num_subscriptions));
    }).once('error', reject);
  });
}

/** Waits a while for what should become `expected`, and gives back what it is. */
async function counted(count: () => number | Promise<number>, expected: number): Promise<number> {
  await waitFor(async () => (await count()) === expected, { timeoutMs: 5_000 }).catch(() => undefined);
  return count();
}
