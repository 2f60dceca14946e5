import { Arm, ARMS, pinned, SERVICES, startNatsServer, cpuMsOf } from '@diptych/testing';
import type { ArmSpec, Launcher } from '@diptych/testing';
import { HttpClient } from '../../../support/http-client.js';
import { assertAnswers, assertWrk, wrk } from '../../wrk.js';
import type { BenchRun, Figures, Job } from '../bench-run.js';
import { VALUES } from '../peers/peer.js';
import { startChild } from '../processes.js';

const CONNECTIONS = 32;
/** Until the compiler of three processes on one core is through: with one second the figures were those of cold code. */
const WARM_SECONDS = 4;
const COUNTED_SECONDS = 3;
const PATH = '/v1/keys/small';

interface Served extends AsyncDisposable {
  readonly origin: string;
  /** Of all its processes, the broker too. */
  readonly pids: readonly number[];
}

/** A GET of 256 bytes: the arm with its broker on one core, the generator on another. */
export function httpJobs(run: BenchRun): Job[] {
  assertWrk();
  if (run.cores.system === undefined)
    throw new Error('the HTTP row needs two cores and taskset (Debian and Ubuntu: apt-get install util-linux); leave it out with --only');
  const arms: Record<string, () => Promise<Served>> = {
    services: () => startArm(run, SERVICES),
    monolith: () => startArm(run, ARMS[0]!),
    'stock-nest': () => startStock(run),
  };
  return Object.entries(arms).map(([arm, start]) => ({ arm, run: () => measureHttp(run, arm, start) }));
}

async function measureHttp(run: BenchRun, arm: string, start: () => Promise<Served>): Promise<Array<{ row: string; figures: Figures }>> {
  await using served = await start();
  const load = (seconds: number) =>
    wrk({
      url: `${served.origin}${PATH}`,
      connections: CONNECTIONS,
      seconds,
      launcher: (command, args) => pinned(run.cores.generator, command, args),
    });
  await assertAnswers(arm, served.origin, PATH, VALUES.small);
  await load(WARM_SECONDS);
  const beforeMs = cpuMsOf(served.pids) ?? Number.NaN;
  const { requestsPerSecond, latencyMsP99 } = await load(COUNTED_SECONDS);
  const cpuUsPerRequest = (((cpuMsOf(served.pids) ?? Number.NaN) - beforeMs) * 1_000) / (requestsPerSecond * COUNTED_SECONDS);
  await assertAnswers(arm, served.origin, PATH, VALUES.small);
  return [{ row: 'http', figures: { requestsPerSecond, p99Us: latencyMsP99 * 1_000, cpuUsPerRequest } }];
}

/** One core, whatever the machine has. */
const onOneCore: Launcher = (command, args) => pinned('0', command, args);

async function startArm(run: BenchRun, spec: ArmSpec): Promise<Served> {
  const arm = await run.owned(Arm.start(spec, { launcher: onOneCore }));
  await using http = new HttpClient(arm.url);
  const { status } = await http.put('small', VALUES.small);
  if (status !== 201) throw new Error(`${spec.name} did not take the entry: ${status}`);
  return {
    origin: arm.url,
    pids: [...arm.pids, ...(spec.broker ? [arm.broker.pid] : [])],
    [Symbol.asyncDispose]: () => run.end(arm),
  };
}

async function startStock(run: BenchRun): Promise<Served> {
  const broker = await run.owned(startNatsServer({ launcher: onOneCore }));
  const cache = await run.owned(startChild('stock/cache-main', [broker.url], /^ready$/m, onOneCore));
  const gateway = await run.owned(startChild('stock/gateway-main', [broker.url], /^http:\S+$/m, onOneCore));
  const all = [gateway, cache, broker];
  return {
    origin: /^http:\S+$/m.exec(gateway.stdout)![0],
    pids: all.map(({ pid }) => pid),
    [Symbol.asyncDispose]: () => run.end(...all),
  };
}
