import { Arm, ARMS, SERVICES, startProcess, WORKSPACE } from '@diptych/testing';
import { HttpClient } from '../support/http-client.js';
import { machine, median, writeResults } from './figures.js';
import { assertAnswers, assertWrk, wrk } from './wrk.js';

/*
 * Question: what does the monolith cost on its fastest path, a cached GET of 256 bytes, compared with a bare Nest-on-Fastify
 * handler that answers from a Map?
 *
 * Method: wrk against each in turn, all started once, in rounds whose order alternates, so that what the machine does besides meets all
 * alike. Compared are the medians of the rounds. The bar: the monolith serves at least as much as the bare handler. node:http alone and the
 * services are measured for information.
 *
 * Exit code: 0 at or above the bar, 1 below it, 2 when it could not be measured.
 */
const BAR = 1;
const ROUNDS = Math.max(7, Number(process.env['DIPTYCH_BENCH_ROUNDS'] ?? 9));
const SECONDS = 3;
const CONNECTIONS = 32;
const VALUE = 'x'.repeat(256);
const PATH = '/v1/keys/bench';

interface Target {
  readonly name: string;
  readonly origin: string;
  readonly end: () => Promise<unknown>;
}

interface Round {
  readonly round: number;
  readonly target: string;
  readonly requestsPerSecond: number;
  readonly latencyMsP99: number;
}

process.exitCode = await main().catch((error: Error) => {
  console.error(error.message);
  return 2;
});

async function main(): Promise<number> {
  assertWrk();
  const targets: Target[] = [];
  try {
    for (const start of [startMonolith, () => startBare('bare-nest'), () => startBare('bare-node'), startServices])
      targets.push(await start());
    for (const target of targets) await assertAnswers(target.name, target.origin, PATH, VALUE);
    for (const target of targets) await load(target, 2);
    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const target of round % 2 === 0 ? targets : [...targets].reverse()) {
        rounds.push({ round, target: target.name, ...(await load(target, SECONDS)) });
      }
    }
    for (const target of targets) await assertAnswers(target.name, target.origin, PATH, VALUE);
    return report(targets, rounds);
  } finally {
    for (const target of targets) await target.end();
  }
}

function report(targets: readonly Target[], rounds: readonly Round[]): number {
  const of = (name: string) => rounds.filter(({ target }) => target === name);
  const rate = (name: string) => median(of(name).map(({ requestsPerSecond }) => requestsPerSecond));
  const bare = rate('bare-nest');
  console.log(
    `cached GET of 256 bytes, wrk, ${CONNECTIONS} connections, ${ROUNDS} rounds of ${SECONDS} s, ${machine().cpu} x ${machine().cpus}, Node ${process.version}`,
  );
  console.log('target      median req/s   least    most   x bare-nest   p99 ms');
  for (const { name } of targets) {
    const rates = of(name).map(({ requestsPerSecond }) => requestsPerSecond);
    const columns = [rate(name), Math.min(...rates), Math.max(...rates)].map((value) => String(Math.round(value)).padStart(8));
    const p99 = median(of(name).map(({ latencyMsP99 }) => latencyMsP99));
    console.log(
      `${name.padEnd(12)}${columns[0]!.padStart(12)}${columns[1]}${columns[2]}${(rate(name) / bare).toFixed(3).padStart(14)}${p99.toFixed(2).padStart(9)}`,
    );
  }
  const ratio = rate('monolith') / bare;
  const passed = ratio >= BAR;
  const file = writeResults('http', new Date().toISOString(), {
    bar: BAR,
    ratio,
    passed,
    connections: CONNECTIONS,
    secondsPerRound: SECONDS,
    rounds,
  });
  console.log(`raw rounds: ${file}`);
  console.log(`monolith / bare-nest = ${ratio.toFixed(3)}, bar ${BAR}: ${passed ? 'passed' : 'MISSED'}`);
  return passed ? 0 : 1;
}

function load({ origin }: Target, seconds: number) {
  return wrk({ url: `${origin}${PATH}`, connections: CONNECTIONS, seconds });
}

async function startMonolith(): Promise<Target> {
  const arm = await Arm.start(ARMS[0]!);
  return fill('monolith', arm);
}

async function startServices(): Promise<Target> {
  const arm = await Arm.start(SERVICES);
  return fill('services', arm);
}

async function fill(name: string, arm: Arm): Promise<Target> {
  await using http = new HttpClient(arm.url);
  const { status } = await http.put('bench', VALUE);
  if (status !== 201) throw new Error(`${name} did not take the entry: ${status}`);
  return { name, origin: arm.url, end: () => arm.stop() };
}

async function startBare(name: string): Promise<Target> {
  const running = await startProcess({
    command: process.execPath,
    args: [`${WORKSPACE}/e2e/dist/bench/${name}.js`],
    env: { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' },
    ready: /^http:\S+$/m,
    name,
  });
  return { name, origin: /^http:\S+$/m.exec(running.stdout)![0], end: () => running.stop() };
}
