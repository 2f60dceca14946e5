import { spawnSync } from 'node:child_process';
import { startProcess, pinned, type Profile } from '@diptych/testing';
import { childModule } from '../child-module.js';
import { generatorGate } from '../gates.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan } from '../load/schedule.js';
import type { LoadResult } from '../load/summary.js';

/** One claim about the lab itself, with its figure. `cannot say`: the machine was too noisy, or a tool is missing. */
export interface Check {
  readonly name: string;
  readonly outcome: 'pass' | 'fail' | 'cannot say';
  readonly figure: string;
}

/** A machine that is busy for a moment is given this many chances; a lab that is wrong is wrong in all of them. */
const ATTEMPTS = 3;

/**
 * A server that answers at once, but stands still for the first 0.8 s of every 4 s. A request that arrives in the stall waits for
 * what is left of it, so P(latency > x) = 0.2 (1 - x / 800 ms), and the 99th percentile is 760 ms. Who waits for an answer before sending the
 * next request hardly ever meets the stall and reports a few milliseconds (Tene, "How not to measure latency").
 */
const THEORY_P99_MS = 760;

export async function golden(profile: Profile): Promise<Check[]> {
  await using server = await serve(profile, 'stalling-main', []);
  const plan = planFor(server.url, { seconds: 16, ratePerSecond: 200, connections: 512 });
  const open = await quiet(profile, plan);
  const closed = await runLoad({ ...plan, mode: 'closed', connections: 4, ratePerSecond: 20_000 }, { cores: profile.generator });
  const openP99 = open?.latency.p99Ms ?? Number.NaN;
  const closedP99 = closed.latency.p99Ms ?? Number.NaN;
  return [
    {
      name: 'a stall of 0.8 s in every 4 shows its theoretical p99 in the open loop, within 3 %',
      outcome: open === undefined ? 'cannot say' : Math.abs(openP99 / THEORY_P99_MS - 1) <= 0.03 ? 'pass' : 'fail',
      figure:
        open === undefined
          ? 'the generator was late in every attempt'
          : `p99 ${openP99.toFixed(0)} ms, theory ${THEORY_P99_MS} ms (${((openP99 / THEORY_P99_MS - 1) * 100).toFixed(1)} %), ${open.offered} requests`,
    },
    {
      name: 'the same load from four clients in a closed loop hides it, which is why the lab does not measure so',
      outcome: closedP99 < THEORY_P99_MS / 10 ? 'pass' : 'fail',
      figure: `p99 ${closedP99.toFixed(1)} ms, ${closed.offered} requests`,
    },
  ];
}

export async function fullRate(profile: Profile): Promise<Check> {
  await using server = await serve(profile, 'stub-main', ['0', '0']);
  let best: LoadResult | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const load = await runLoad(planFor(server.url, { seconds: 10, ratePerSecond: 10_000, connections: 256 }), { cores: profile.generator });
    if (!best || load.generator.latenessMs.p99 < best.generator.latenessMs.p99) best = load;
    if (holds(best)) break;
  }
  const { latenessMs, sentOnScheduleShare, cpuShare } = best!.generator;
  return {
    name: '10,000 requests/s in the open loop: 99.5 % sent on schedule, lateness p99 of 10 ms at most',
    outcome: holds(best!) ? 'pass' : 'fail',
    figure: `${(sentOnScheduleShare * 100).toFixed(2)} % on schedule, lateness p50 ${latenessMs.p50.toFixed(1)} ms, p99 ${latenessMs.p99.toFixed(1)} ms, ${(cpuShare * 100).toFixed(0)} % of a core, ${best!.good} of ${best!.offered} good`,
  };
}

function holds({ generator }: LoadResult): boolean {
  return generator.sentOnScheduleShare >= 0.995 && generator.latenessMs.p99 <= 10;
}

/** A server that takes 10 ms: both must see that, whatever their own cost. */
export async function besideWrk(profile: Profile): Promise<Check> {
  const name = 'the median at steady load is within 10 % of wrk’s';
  if (spawnSync('wrk', ['--version']).error)
    return { name, outcome: 'cannot say', figure: 'wrk is not installed (Debian: apt-get install wrk)' };
  await using server = await serve(profile, 'stub-main', ['0', '10']);
  const { command, args } = pinned(profile.generator, 'wrk', ['-t1', '-c32', '-d8s', '--latency', server.url]);
  const text = spawnSync(command, args, { encoding: 'utf8' }).stdout;
  const [, amount, unit] = /50%\s+([\d.]+)(us|ms|s)/.exec(text) ?? [];
  const wrkMs = Number(amount) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us' | 'ms' | 's'];
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
  const load = await quiet(profile, planFor(server.url, { seconds: 8, ratePerSecond: Math.round(perSecond * 0.8), connections: 128 }));
  if (!load) return { name, outcome: 'cannot say', figure: 'the generator was late in every attempt' };
  const off = load.latency.p50Ms / wrkMs - 1;
  return {
    name,
    outcome: Math.abs(off) <= 0.1 ? 'pass' : 'fail',
    figure: `${load.latency.p50Ms.toFixed(2)} ms beside ${wrkMs.toFixed(2)} ms (${(off * 100).toFixed(1)} %)`,
  };
}

/** A run in which the generator kept its schedule, or undefined. */
async function quiet(profile: Profile, plan: LoadPlan): Promise<LoadResult | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const load = await runLoad(plan, { cores: profile.generator });
    if (generatorGate(load) === undefined) return load;
  }
  return undefined;
}

async function serve(profile: Profile, module: string, args: readonly string[]): Promise<{ url: string } & AsyncDisposable> {
  const running = await startProcess({
    ...pinned(profile.system, process.execPath, [...process.execArgv, childModule(import.meta.url, `./${module}`), ...args]),
    name: module,
    ready: /\d+\s*$/m,
  });
  return { url: `http://127.0.0.1:${/(\d+)\s*$/.exec(running.stdout)![1]}`, [Symbol.asyncDispose]: async () => running.kill('SIGKILL') };
}

function planFor(baseUrl: string, sizes: Pick<LoadPlan, 'seconds' | 'ratePerSecond' | 'connections'>): LoadPlan {
  const streams = [{ capability: 'health', share: 1, keys: { kind: 'uniform', prefix: 'k', count: 1 } }] as const;
  return { baseUrl, seed: 1, streams, valueBytes: 0, timeoutMs: 5_000, mode: 'open', ...sizes };
}
