import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { startProcess, pinned, type Profile } from '@diptych/testing';
import { childModule } from '../child-module.js';
import { generatorGate, MachineGate } from '../gates.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan } from '../load/schedule.js';
import type { LoadResult } from '../load/summary.js';
import type { Progress } from '../progress.js';

/** One claim about the lab itself, with its figure. `cannot say`: the machine was too noisy, or a tool is missing. */
export interface Check {
  readonly name: string;
  readonly outcome: 'pass' | 'fail' | 'cannot say';
  readonly figure: string;
}

/** What the instruments are checked with. */
interface Bench {
  readonly cores: Profile;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** Of all three checks together, when the first attempt of each will do. */
export const INSTRUMENT_SECONDS = 68;

/** A machine that is busy for a moment is given this many chances; a lab that is wrong is wrong in all of them. */
const ATTEMPTS = 3;

/**
 * A server that answers at once, but stands still for the first 0.8 s of every 4 s. A request that arrives in the stall waits for
 * what is left of it, so P(latency > x) = 0.2 (1 - x / 800 ms), and the 99th percentile is 760 ms. Who waits for an answer before sending the
 * next request hardly ever meets the stall and reports a few milliseconds (Tene, "How not to measure latency").
 */
const THEORY_P99_MS = 760;

export async function golden(bench: Bench): Promise<Check[]> {
  bench.progress.step('instruments: a server that stalls, open and closed loop', 34);
  await using server = await serve(bench, 'stalling-main', []);
  const plan = planFor(server.url, { seconds: 16, ratePerSecond: 200, connections: 512 });
  const open = await quiet(bench, plan);
  const closed = await load(bench, { ...plan, mode: 'closed', connections: 4, ratePerSecond: 20_000 });
  const openP99 = open?.latency.p99Ms ?? Number.NaN;
  const closedP99 = closed.latency.p99Ms ?? Number.NaN;
  return [
    {
      name: 'a stall of 0.8 s in every 4 shows its theoretical p99 in the open loop, within 3 %',
      outcome: open === undefined ? 'cannot say' : Math.abs(openP99 / THEORY_P99_MS - 1) <= 0.03 ? 'pass' : 'fail',
      figure:
        open === undefined
          ? LATE
          : `p99 ${openP99.toFixed(0)} ms, theory ${THEORY_P99_MS} ms (${((openP99 / THEORY_P99_MS - 1) * 100).toFixed(1)} %), ${open.offered} requests`,
    },
    {
      name: 'the same load from four clients in a closed loop hides it, which is why the lab does not measure so',
      outcome: closedP99 < THEORY_P99_MS / 10 ? 'pass' : 'fail',
      figure: `p99 ${closedP99.toFixed(1)} ms, ${closed.offered} requests`,
    },
  ];
}

export async function fullRate(bench: Bench): Promise<Check> {
  bench.progress.step('instruments: 10,000 requests/s', 14);
  await using server = await serve(bench, 'stub-main', ['0', '0']);
  let best: LoadResult | undefined;
  const machine = new MachineGate();
  machine.begin();
  for (let attempt = 0; attempt < ATTEMPTS && !bench.signal.aborted; attempt++) {
    const measured = await load(bench, planFor(server.url, { seconds: 10, ratePerSecond: 10_000, connections: 256 }));
    if (!best || measured.generator.latenessMs.p99 < best.generator.latenessMs.p99) best = measured;
    if (holds(best)) break;
  }
  await server.stop();
  const disturbed = machine.end();
  const { latenessMs, sentOnScheduleShare, cpuShare } = best!.generator;
  return {
    name: '10,000 requests/s in the open loop: 99.5 % sent on schedule, lateness p99 of 10 ms at most',
    // Too slow on a machine that does something else besides says nothing about the generator.
    outcome: holds(best!) ? 'pass' : disturbed === undefined ? 'fail' : 'cannot say',
    figure: `${holds(best!) || disturbed === undefined ? '' : `${disturbed}; `}${(sentOnScheduleShare * 100).toFixed(2)} % on schedule, lateness p50 ${latenessMs.p50.toFixed(1)} ms, p99 ${latenessMs.p99.toFixed(1)} ms, ${(cpuShare * 100).toFixed(0)} % of a core, ${best!.good} of ${best!.offered} good`,
  };
}

function holds({ generator }: LoadResult): boolean {
  return generator.sentOnScheduleShare >= 0.995 && generator.latenessMs.p99 <= 10;
}

/** A server that takes 10 ms: both must see that, whatever their own cost. */
export async function besideWrk(bench: Bench): Promise<Check> {
  bench.progress.step('instruments: beside wrk', 20);
  const name = 'the median at steady load is within 10 % of wrk’s';
  if (spawnSync('wrk', ['--version']).error)
    return { name, outcome: 'cannot say', figure: 'wrk is not installed (Debian: apt-get install wrk)' };
  await using server = await serve(bench, 'stub-main', ['0', '10']);
  const { command, args } = pinned(bench.cores.generator, 'wrk', ['-t1', '-c32', '-d8s', '--latency', server.url]);
  const wrk = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], signal: bench.signal });
  const [printed] = await Promise.all([text(wrk.stdout), once(wrk, 'close')]);
  const [, amount, unit] = /50%\s+([\d.]+)(us|ms|s)/.exec(printed) ?? [];
  const wrkMs = Number(amount) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'];
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(printed)?.[1]);
  if (!(wrkMs > 0 && perSecond > 0)) return { name, outcome: 'cannot say', figure: `wrk printed no median: ${printed.slice(0, 200)}` };
  const ours = await quiet(bench, planFor(server.url, { seconds: 8, ratePerSecond: Math.round(perSecond * 0.8), connections: 128 }));
  if (!ours) return { name, outcome: 'cannot say', figure: LATE };
  const off = ours.latency.p50Ms / wrkMs - 1;
  return {
    name,
    outcome: Math.abs(off) <= 0.1 ? 'pass' : 'fail',
    figure: `${ours.latency.p50Ms.toFixed(2)} ms beside ${wrkMs.toFixed(2)} ms (${(off * 100).toFixed(1)} %)`,
  };
}

/** A run in which the generator kept its schedule, or undefined. */
async function quiet(bench: Bench, plan: LoadPlan): Promise<LoadResult | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS && !bench.signal.aborted; attempt++) {
    const measured = await load(bench, plan);
    if (generatorGate(measured) === undefined) return measured;
  }
  return undefined;
}

function load({ cores, signal }: Bench, plan: LoadPlan): Promise<LoadResult> {
  return runLoad(plan, { cores: cores.generator, signal });
}

const LATE = 'the generator was late in every attempt';

async function serve(
  { cores }: Bench,
  module: string,
  args: readonly string[],
): Promise<{ url: string; stop(): Promise<void> } & AsyncDisposable> {
  const running = await startProcess({
    ...pinned(cores.system, process.execPath, [...process.execArgv, childModule(import.meta.url, `./${module}`), ...args]),
    name: module,
    ready: /\d+\s*$/m,
  });
  const stop = () => running.kill('SIGKILL');
  return { url: `http://127.0.0.1:${/(\d+)\s*$/.exec(running.stdout)![1]}`, stop, [Symbol.asyncDispose]: stop };
}

function planFor(baseUrl: string, sizes: Pick<LoadPlan, 'seconds' | 'ratePerSecond' | 'connections'>): LoadPlan {
  const streams = [{ capability: 'health', share: 1, keys: { kind: 'uniform', prefix: 'k', count: 1 } }] as const;
  return { id: 'check', baseUrl, seed: 1, streams, valueBytes: 0, timeoutMs: 5_000, mode: 'open', ...sizes };
}
