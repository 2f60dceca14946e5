import { readFileSync } from 'node:fs';
import { systemClock } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import type { PartName } from '../dependency-table.js';
import type { Injection, RunningArm } from '../running-arm.js';
import { groupUseOf } from '../scaling/control-group.js';
import type { Account, ContainerState, Engine } from './engine.js';
import { partsOf, type PanelName } from './limits.js';
import { quotaOf, type Quota } from './quota.js';

/** What one container was allowed and took, over one run of its arm. */
export type ArmQuota = Quota & { readonly arm: PanelName };

/** One arm in containers that run. */
export class ContainerArm implements RunningArm {
  readonly name: PanelName;
  readonly url: string;
  readonly firstGoodReplyMs: number;
  readonly processes: number;
  readonly ports: number;
  readonly settings: number;
  readonly #engine: Engine;
  readonly #ids: ReadonlyMap<PartName, string>;
  /** Of their first processes. */
  readonly #pids: Map<PartName, number>;
  readonly #first: ReadonlyMap<PartName, Account>;
  readonly #firstMs = systemClock.nowMs();
  readonly #arm: ArmOf;
  readonly #down: () => Promise<unknown>;
  /** A control group ends with its container: what it had used is kept from just before. */
  #goneCpuMs = 0;
  readonly #killed = new Set<PartName>();
  #stopped: Promise<void> | undefined;

  private constructor(
    engine: Engine,
    arm: ArmOf,
    containers: ReadonlyMap<PartName, ContainerState>,
    first: ReadonlyMap<PartName, Account>,
    down: () => Promise<unknown>,
  ) {
    const ids = new Map([...containers].map(([part, { id }]) => [part, id]));
    this.name = arm.name;
    this.url = arm.url;
    this.firstGoodReplyMs = arm.firstGoodReplyMs;
    this.processes = ids.size;
    this.ports = ids.size;
    this.settings = ids.has('nats') ? ids.size - 1 : 0;
    this.#arm = arm;
    this.#engine = engine;
    this.#ids = ids;
    this.#pids = new Map([...containers].map(([part, { pid }]) => [part, pid]));
    this.#first = first;
    this.#down = down;
  }

  static async of(engine: Engine, arm: ArmOf, down: () => Promise<unknown>): Promise<ContainerArm> {
    const containers = new Map<PartName, ContainerState>();
    for (const part of partsOf(arm.name)) containers.set(part, await engine.containerOf(arm.project, part));
    const accounts = await Promise.all([...containers].map(async ([part, { id }]) => [part, await engine.account(id)] as const));
    return new ContainerArm(engine, arm, containers, new Map(accounts), down);
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

  /** At this moment, where the control groups are seen from here: the engine's own account may be of up to a second later. */
  async cpuMs() {
    const processes = [...this.#ids].map(([part, id]) => ({ id, pid: this.#pids.get(part)! }));
    if (!processes.every(isSeen)) return (await this.usage()).cpuMs;
    return processes.reduce((sum, { pid }) => sum + groupUseOf(pid).cpuMs, this.#goneCpuMs);
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
    this.#pids.set(part, (await this.#engine.state(id)).pid);
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#end());
  }

  async #end(): Promise<void> {
    try {
      this.#arm.ended(await this.cpuMs());
      await this.#noteQuotas();
    } finally {
      await this.#down();
    }
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
    const whole = [...this.#ids].filter(([part]) => !this.#killed.has(part));
    const quotas = await Promise.all(
      whole.map(async ([part, id]) => {
        const to = await this.#engine.account(id);
        const elapsedMs = systemClock.nowMs() - this.#firstMs;
        return quotaOf(part, await this.#engine.state(id), { from: this.#first.get(part)!, to, elapsedMs });
      }),
    );
    for (const quota of quotas) this.#arm.note({ arm: this.name, ...quota });
    const broken = quotas.find(({ kept }) => !kept);
    if (broken) throw new Error(`${broken.part} of ${this.name} was not held to its quota: ${JSON.stringify(broken)}`);
  }
}

/** Of an engine elsewhere the number of a process is nobody's here, or somebody else's. */
function isSeen({ id, pid }: { id: string; pid: number }): boolean {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(id);
  } catch {
    return false;
  }
}

interface ArmOf {
  readonly name: PanelName;
  readonly url: string;
  readonly firstGoodReplyMs: number;
  readonly project: string;
  readonly note: (quota: ArmQuota) => void;
  /** Told what its containers have used, before they are ended. */
  readonly ended: (cpuMs: number) => void;
}
