import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { freePort, waitFor, WORKSPACE, type Profile } from '@diptych/testing';
import type { PartName } from '../dependency-table.js';
import type { Injection, RunningArm, StartArm } from '../running-arm.js';
import { untilGoodReply } from '../start-arm.js';
import { Engine, type Account } from './engine.js';
import { limitVariables, partsOf, type PanelName } from './limits.js';
import { quotaOf } from './quota.js';

/** By how docker-compose.yml names them: the service that is asked for, and the variable of its port. */
const EDGES: Readonly<Record<PanelName, { service: PartName; port: string }>> = {
  monolith: { service: 'monolith', port: 'MONOLITH_PORT' },
  services: { service: 'gateway', port: 'GATEWAY_PORT' },
};

/**
 * The arms in containers of docker-compose.yml, with the limits of `limits.ts`, on the system's cores. What they use is what the engine's control
 * groups say. What each container was allowed and took is written to `quotas.jsonl` in the directory of the run.
 *
 * @throws Error when there is no engine, or the images cannot be built
 */
export async function containerArms(profile: Profile, runDir: string): Promise<{ startArm: StartArm; end: () => Promise<void> }> {
  const engine = await Engine.find();
  compose('diptych-lab', {}, ['--profile', 'monolith', 'build', '--quiet']);
  const startArm: StartArm = async (name, signal) => {
    signal.throwIfAborted();
    if (name === 'monolith-threads')
      throw new Error('monolith-threads has no container in docker-compose.yml; run it without --runtime docker');
    const { service, port } = EDGES[name];
    const number = await freePort();
    const project = `diptych-lab-${number}`;
    const variables = { ...limitVariables(name), [port]: String(number), SYSTEM_CPUSET: profile.system ?? '' };
    const down = () => composeAside(project, variables, ['--profile', 'monolith', 'down', '--volumes', '--timeout', '5']);
    const startedMs = systemClock.nowMs();
    try {
      await composeAside(project, variables, ['up', '--detach', '--no-build', service]);
      const url = `http://127.0.0.1:${number}`;
      const arm = { name, url, firstGoodReplyMs: await untilGoodReply(url, startedMs, signal), project, variables, runDir };
      return await ContainerArm.of(engine, arm, down);
    } catch (error) {
      await down();
      throw error;
    }
  };
  return { startArm, end: () => engine[Symbol.asyncDispose]() };
}

class ContainerArm implements RunningArm {
  readonly name: PanelName;
  readonly url: string;
  readonly firstGoodReplyMs: number;
  readonly processes: number;
  readonly ports: number;
  readonly settings: number;
  readonly #engine: Engine;
  readonly #ids: ReadonlyMap<PartName, string>;
  readonly #first: ReadonlyMap<PartName, Account>;
  readonly #firstMs = systemClock.nowMs();
  readonly #runDir: string;
  readonly #down: () => Promise<void>;
  /** A control group ends with its container: what it had used is kept from just before. */
  #goneCpuMs = 0;
  readonly #killed = new Set<PartName>();
  #stopped: Promise<void> | undefined;

  private constructor(
    engine: Engine,
    arm: ArmOf,
    ids: ReadonlyMap<PartName, string>,
    first: ReadonlyMap<PartName, Account>,
    down: () => Promise<void>,
  ) {
    this.name = arm.name;
    this.url = arm.url;
    this.firstGoodReplyMs = arm.firstGoodReplyMs;
    this.processes = ids.size;
    this.ports = ids.size;
    this.settings = ids.has('nats') ? ids.size - 1 : 0;
    this.#runDir = arm.runDir;
    this.#engine = engine;
    this.#ids = ids;
    this.#first = first;
    this.#down = down;
  }

  static async of(engine: Engine, arm: ArmOf, down: () => Promise<void>): Promise<ContainerArm> {
    const ids = new Map<PartName, string>();
    const first = new Map<PartName, Account>();
    for (const part of partsOf(arm.name)) {
      const { id } = await engine.containerOf(arm.project, part);
      ids.set(part, id);
      first.set(part, await engine.account(id));
    }
    return new ContainerArm(engine, arm, ids, first, down);
  }

  async usage() {
    const accounts = await this.#accounts();
    const sum = (of: (account: Account) => number) => accounts.reduce((total, account) => total + of(account), 0);
    return {
      cpuMs: sum(({ cpuMs }) => cpuMs) + this.#goneCpuMs,
      rssBytes: sum(({ rssBytes }) => rssBytes),
      memoryBytes: sum(({ memoryBytes }) => memoryBytes),
    };
  }

  async cpuMs() {
    return (await this.usage()).cpuMs;
  }

  async kill(part: PartName): Promise<Injection> {
    const id = this.#ids.get(part)!;
    const { cpuMs } = await this.#engine.account(id);
    const before = await this.#engine.state(id);
    if (!before.running) return { whyNot: `${part} had ended by itself before it was killed` };
    await this.#engine.kill(id);
    const after = await waitFor(async () => this.#gone(id), { what: `${part} is gone`, timeoutMs: 10_000 }).catch(() => undefined);
    if (!after) return { whyNot: `${part} was killed and is still there` };
    this.#killed.add(part);
    this.#goneCpuMs += cpuMs;
    // 128 and the number of SIGKILL.
    if (after.exitCode !== 137) return { whyNot: `${part} ended with exit code ${after.exitCode}, not by being killed` };
    return { proof: `${part}: process ${before.pid} ran, its container ended with exit code 137` };
  }

  async restart(part: PartName): Promise<void> {
    const id = this.#ids.get(part)!;
    await this.#engine.start(id);
    await waitFor(async () => (await this.#engine.state(id)).health === 'healthy', {
      what: `${part} is healthy`,
      timeoutMs: 60_000,
      pollMs: 50,
    });
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#noteQuotas().finally(this.#down));
  }

  async #gone(id: string) {
    const state = await this.#engine.state(id);
    return !state.running && state;
  }

  async #accounts(): Promise<Account[]> {
    const running = await Promise.all([...this.#ids.values()].map(async (id) => ((await this.#engine.state(id)).running ? [id] : [])));
    return Promise.all(running.flat().map((id) => this.#engine.account(id)));
  }

  /** Of those that were there all the time. @throws Error when one was not held to its quota: then nothing was measured against it */
  async #noteQuotas(): Promise<void> {
    for (const [part, id] of this.#ids) {
      if (this.#killed.has(part)) continue;
      const accounts = { from: this.#first.get(part)!, to: await this.#engine.account(id), elapsedMs: systemClock.nowMs() - this.#firstMs };
      const quota = quotaOf(part, await this.#engine.state(id), accounts);
      appendFileSync(join(this.#runDir, 'quotas.jsonl'), `${JSON.stringify({ arm: this.name, ...quota })}\n`);
      if (!quota.kept) throw new Error(`${part} of ${this.name} was not held to its quota: ${JSON.stringify(quota)}`);
    }
  }
}

interface ArmOf {
  readonly name: PanelName;
  readonly url: string;
  readonly firstGoodReplyMs: number;
  readonly project: string;
  readonly runDir: string;
}

const composed = (project: string, args: readonly string[]) => ['compose', '--project-name', project, ...args];
const environment = (variables: Readonly<Record<string, string>>) => ({ ...process.env, ...variables });

function compose(project: string, variables: Readonly<Record<string, string>>, args: readonly string[]): void {
  const { status, stderr } = spawnSync('docker', composed(project, args), {
    cwd: WORKSPACE,
    env: environment(variables),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`docker compose ${args.join(' ')}: ${stderr}`);
}

/** While the lab goes on. In a process group of its own, so that Ctrl-C ends the lab and not what cleans up after it. */
async function composeAside(project: string, variables: Readonly<Record<string, string>>, args: readonly string[]): Promise<void> {
  const child = spawn('docker', composed(project, args), {
    cwd: WORKSPACE,
    env: environment(variables),
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let stderr = '';
  child.stderr.on('data', (text) => (stderr += String(text)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`docker compose ${args.join(' ')}: ${stderr}`);
}
