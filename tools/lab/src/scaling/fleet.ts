import { DiptychError } from '@diptych/kernel';
import { cpuMsOf, startApp, startNatsServer, tempDir, usageOf, type AppProcess, type NatsServer, type TempDir } from '@diptych/testing';
import { Balancer, type BalancerSlot, type Spreading } from './balancer.js';
import { cpuQuota, type CpuQuota, type Throttling } from './cpu-quota.js';

export type ScaledArmName = 'monolith-replicas' | 'services-scaled';
export type Pool = 'replica' | 'gateway' | 'cache' | 'log';

interface ScaledArm {
  readonly spreading: Spreading;
  /** What stands behind the balancer. */
  readonly edge: Pool;
  /** In the order of their start. Those that are not scaled there are one of. */
  readonly pools: ReadonlyArray<{ readonly pool: Pool; readonly main: string; readonly isScaled: boolean }>;
  readonly broker: boolean;
}

/** By key, a replica has its part of the keys in a log and a cache of its own; the services have one log, and whoever scales holds nothing that is not there too. */
export const SCALED_ARMS: Readonly<Record<ScaledArmName, ScaledArm>> = {
  'monolith-replicas': {
    spreading: 'by key',
    edge: 'replica',
    pools: [{ pool: 'replica', main: 'apps/monolith/dist/main.js', isScaled: true }],
    broker: false,
  },
  'services-scaled': {
    spreading: 'least busy',
    edge: 'gateway',
    pools: [
      { pool: 'log', main: 'apps/log/dist/main.js', isScaled: false },
      { pool: 'cache', main: 'apps/cache/dist/main.js', isScaled: true },
      { pool: 'gateway', main: 'apps/gateway/dist/main.js', isScaled: true },
    ],
    broker: true,
  },
};

/** Which panel an arm is of, for its colour. */
export const PANEL_OF = { 'monolith-replicas': 'monolith', 'services-scaled': 'services' } as const;

/** Of a core, each instance: gateway, cache, log, replica and broker alike. The balancer has none: both arms have the same one, and what it uses is counted. */
export const CPUS_AN_INSTANCE = 0.25;

export interface Instance {
  readonly name: string;
  readonly pool: Pool;
  readonly process: AppProcess;
  readonly quota: CpuQuota;
  /** Its place at the balancer; undefined: it has none. */
  readonly slot: number | undefined;
}

interface Broker {
  readonly server: NatsServer;
  readonly quota: CpuQuota;
}

/** What each process of an arm had used at some moment. */
export interface FleetUse {
  readonly name: string;
  readonly pool: Pool | 'broker' | 'balancer';
  readonly cpus: number | undefined;
  readonly cpuMs: number;
  readonly throttling: Throttling | undefined;
}

/** A running scaled arm: plain processes, each in a control group of its own, behind a balancer; instances come and go. */
export class Fleet implements AsyncDisposable {
  readonly arm: ScaledArmName;
  readonly balancer: Balancer;
  readonly #dir: TempDir;
  readonly #broker: Broker | undefined;
  readonly #instances: Instance[] = [];
  /** Places of those that come or go. */
  readonly #reserved = new Set<number>();
  #isHeld = false;
  #started = 0;
  #goneCpuMs = 0;

  private constructor(arm: ScaledArmName, balancer: Balancer, dir: TempDir, broker: Broker | undefined) {
    this.arm = arm;
    this.balancer = balancer;
    this.#dir = dir;
    this.#broker = broker;
  }

  /** With so many instances of each scaled part, none of them held to its quota yet. @throws Error of what did not start; what had been started is ended */
  static async start(arm: ScaledArmName, counts: Partial<Record<Pool, number>>): Promise<Fleet> {
    const { spreading, pools, broker } = SCALED_ARMS[arm];
    const dir = await tempDir('diptych-fleet-');
    const natsQuota = broker ? cpuQuota('broker', CPUS_AN_INSTANCE, true) : undefined;
    const server = natsQuota && (await startNatsServer({ launcher: natsQuota.launcher }));
    const balancer = await Balancer.start(spreading, (command, args) => ({ command, args }));
    const fleet = new Fleet(arm, balancer, dir, server && natsQuota && { server, quota: natsQuota });
    try {
      const starting = pools.flatMap(({ pool, isScaled }) =>
        Array.from({ length: isScaled ? (counts[pool] ?? 1) : 1 }, () => fleet.add(pool)),
      );
      // All of them have to have ended, one way or the other, before what has started can be ended.
      for (const each of await Promise.allSettled(starting)) if (each.status === 'rejected') throw each.reason;
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** From now on every process but the balancer has its share of a core and no more; what is added later has it from its first instruction. */
  hold(): void {
    this.#isHeld = true;
    for (const quota of [this.#broker?.quota, ...this.#instances.map((each) => each.quota)]) quota?.hold();
  }

  get url(): string {
    return this.balancer.url;
  }

  /** Those that take requests, oldest first. */
  serving(pool: Pool): Instance[] {
    return this.#instances.filter((instance) => instance.pool === pool);
  }

  /** Starts one more and resolves when it takes requests. */
  async add(pool: Pool): Promise<Instance> {
    const { main } = SCALED_ARMS[this.arm].pools.find((each) => each.pool === pool)!;
    const number = ++this.#started;
    const name = `${pool}-${number}`;
    const quota = cpuQuota(name, CPUS_AN_INSTANCE, !this.#isHeld);
    const variables = {
      DIPTYCH_HTTP_PORT: '0',
      DIPTYCH_TELEMETRY_LEVEL: 'info',
      ...((pool === 'log' || pool === 'replica') && { DIPTYCH_LOG_DATA_DIR: `${this.#dir.path}/${name}` }),
      ...(this.#broker && { DIPTYCH_NATS_URL: this.#broker.server.url }),
    };
    let process: AppProcess | undefined;
    try {
      process = await startApp({ name, main, variables, launcher: quota.launcher });
      const slot = pool === SCALED_ARMS[this.arm].edge ? this.#takeSlot() : undefined;
      const instance: Instance = { name, pool, process, quota, slot };
      if (slot !== undefined) await this.balancer.admit(slot, process.port);
      if (slot !== undefined) this.#reserved.delete(slot);
      this.#instances.push(instance);
      return instance;
    } catch (error) {
      await process?.kill('SIGKILL');
      await quota.remove();
      throw error;
    }
  }

  /**
   * Takes one out: no new requests, those it has are answered, then it is told to stop and flushes what it holds.
   *
   * @throws INTERNAL when it did not end cleanly
   */
  async remove(instance: Instance): Promise<void> {
    this.#forget(instance);
    if (instance.slot !== undefined) await this.balancer.drain(instance.slot);
    if (instance.slot !== undefined) this.#reserved.delete(instance.slot);
    this.#keepCpu(instance);
    const exit = await instance.process.stop();
    await instance.quota.remove();
    if (exit.code !== 0) throw new DiptychError('INTERNAL', `${instance.name} ended with ${exit.code ?? exit.signal} instead of draining`);
  }

  /** SIGKILL, by surprise: nobody is told. @returns what the operating system said of its end */
  async kill(instance: Instance): Promise<string> {
    this.#keepCpu(instance);
    await instance.process.kill('SIGKILL');
    const { signal } = await instance.process.exited;
    this.#forget(instance);
    if (instance.slot !== undefined) this.#reserved.delete(instance.slot);
    await instance.quota.remove();
    return `${instance.name} (process ${instance.process.pid}) ended by ${signal}`;
  }

  /** What every process has used since it began; what is gone is in none. */
  use(): FleetUse[] {
    const of = (name: string, pool: FleetUse['pool'], pid: number, quota?: CpuQuota): FleetUse => {
      return { name, pool, cpus: quota?.cpus, cpuMs: cpuMsOf([pid]) ?? Number.NaN, throttling: quota?.throttling() };
    };
    return [
      ...this.#instances.map(({ name, pool, process, quota }) => of(name, pool, process.pid, quota)),
      ...(this.#broker ? [of('broker', 'broker', this.#broker.server.pid, this.#broker.quota)] : []),
      of('balancer', 'balancer', this.balancer.pid),
    ];
  }

  /** CPU time of all there is and was, balancer and broker too. */
  cpuMs(): number {
    return this.use().reduce((sum, { cpuMs }) => sum + cpuMs, this.#goneCpuMs);
  }

  memoryBytes(): number {
    const pids = [
      ...this.#instances.map(({ process }) => process.pid),
      this.balancer.pid,
      ...(this.#broker ? [this.#broker.server.pid] : []),
    ];
    return usageOf(pids).memoryBytes ?? Number.NaN;
  }

  /** Of the balancer's places, those that instances hold. */
  async shares(): Promise<Map<string, BalancerSlot>> {
    const slots = await this.balancer.slots();
    return new Map(
      this.#instances.flatMap(({ name, slot }) => (slot === undefined ? [] : [[name, slots.find((each) => each.slot === slot)!] as const])),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.balancer[Symbol.asyncDispose]();
    await Promise.allSettled(this.#instances.map(({ process }) => process.kill('SIGKILL')));
    await this.#broker?.server.stop();
    await Promise.allSettled([...this.#instances.map(({ quota }) => quota.remove()), this.#broker?.quota.remove()]);
    await this.#dir.remove();
  }

  #takeSlot(): number {
    let slot = 1;
    while (this.#reserved.has(slot) || this.#instances.some((instance) => instance.slot === slot)) slot++;
    this.#reserved.add(slot);
    return slot;
  }

  #forget(instance: Instance): void {
    if (instance.slot !== undefined) this.#reserved.add(instance.slot);
    this.#instances.splice(this.#instances.indexOf(instance), 1);
  }

  #keepCpu({ process }: Instance): void {
    this.#goneCpuMs += cpuMsOf([process.pid]) ?? 0;
  }
}
