import { freePort, startNatsServer, startProcess, cpuMsOf, WORKSPACE } from '@diptych/testing';
import type { Launcher, RunningProcess } from '@diptych/testing';
import type { BenchRun } from './bench-run.js';
import type { Load, LoadResult } from './loads.js';
import type { PeerName } from './peers/peer.js';

/** Starts a compiled program of the benchmark, as in production. */
export function startChild(program: string, args: readonly string[], ready: RegExp, launcher?: Launcher): Promise<RunningProcess> {
  const file = `${WORKSPACE}/e2e/dist/bench/messaging/${program}.js`;
  const { command, args: all } = (launcher ?? ((command, args) => ({ command, args })))(process.execPath, [file, ...args]);
  return startProcess({
    command,
    args: all,
    env: { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' },
    name: [program, ...args].join(' '),
    ready,
    channel: true,
  });
}

export interface Measured {
  /** One of each calling process. */
  readonly results: readonly LoadResult[];
  readonly calls: number;
  readonly callsPerSecond: number;
  /** Requests and replies for each message that carried them, as the broker counts: 1 without batching. */
  readonly callsPerFrame: number;
  /** Of callers, servers and broker. */
  readonly cpuUsPerCall: number;
}

/** A broker with callers and servers of one peer, each its own fresh process. */
export class PeerProcesses implements AsyncDisposable {
  private constructor(
    readonly run: BenchRun,
    readonly callers: readonly RunningProcess[],
    readonly all: readonly (AsyncDisposable & { readonly pid: number })[],
    readonly monitorUrl: string,
  ) {}

  static async start(run: BenchRun, peer: PeerName, callers: number, servers: number): Promise<PeerProcesses> {
    const monitorPort = await freePort();
    const broker = await run.owned(startNatsServer({ args: ['-m', String(monitorPort)] }));
    const start = (program: string, count: number) =>
      Promise.all(Array.from({ length: count }, () => run.owned(startChild(program, [peer, broker.url], /^ready$/m))));
    const serving = await start('server-main', servers);
    const calling = await start('caller-main', callers);
    const processes = new PeerProcesses(run, calling, [...calling, ...serving, broker], `http://127.0.0.1:${monitorPort}`);
    run.facts.natsServer ??= (await processes.#broker()).version;
    return processes;
  }

  /** Has every caller do a load at the same time. */
  async measure(loadOf: (caller: number) => Load): Promise<Measured> {
    const pids = this.all.map(({ pid }) => pid);
    const before = { cpuMs: cpuMsOf(pids) ?? Number.NaN, messages: (await this.#broker()).in_msgs };
    const results = (await Promise.all(this.callers.map((caller, i) => caller.ask(loadOf(i))))) as LoadResult[];
    const after = { cpuMs: cpuMsOf(pids) ?? Number.NaN, messages: (await this.#broker()).in_msgs };
    const calls = results.reduce((sum, each) => sum + each.calls, 0);
    return {
      results,
      calls,
      callsPerSecond: results.reduce((sum, each) => sum + (each.calls / each.elapsedMs) * 1_000, 0),
      callsPerFrame: (2 * calls) / (after.messages - before.messages),
      cpuUsPerCall: ((after.cpuMs - before.cpuMs) * 1_000) / calls,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.run.end(...this.all);
  }

  async #broker(): Promise<{ in_msgs: number; version: string }> {
    return (await fetch(`${this.monitorUrl}/varz`)).json() as Promise<{ in_msgs: number; version: string }>;
  }
}
