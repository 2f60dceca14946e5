import { DiptychError } from '@diptych/kernel';
import {
  cpuMsOf,
  startApp,
  startNatsServer,
  tempDir,
  usageOf,
  type AppProcess,
  type NatsServer,
  type ProcessExit,
  type TempDir,
} from '@diptych/testing';
import { BalancerProcess, type BalancerSlot } from './balancer.js';
import { cpuQuota, type CpuQuota } from './cpu-quota.js';
import {
  CPUS_AN_INSTANCE,
  Places,
  placesOf,
  SCALED_ARMS,
  UsedSoFar,
  type Counts,
  type EndedByItself,
  type Fleet,
  type FleetUse,
  type Instance,
  type Pool,
  type ScaledArmName,
} from './fleet.js';

export interface ProcessInstance extends Instance {
  readonly process: AppProcess;
  readonly quota: CpuQuota;
}

interface Broker {
  readonly server: NatsServer;
  readonly quota: CpuQuota;
}

type Mains = Readonly<Record<Pool, string>>;

const MAINS: Mains = {
  replica: 'apps/monolith/dist/bundle/main.js',
  log: 'apps/log/dist/bundle/main.js',
  cache: 'apps/cache/dist/bundle/main.js',
  gateway: 'apps/gateway/dist/bundle/main.js',
};

/** Of what one that ended by itself wrote last. */
const COMPLAINT_CHARS_MAX = 500;

/** Of plain processes, each in a control group of its own. */
export class ProcessFleet implements Fleet<ProcessInstance> {
  readonly arm: ScaledArmName;
  readonly #mains: Mains;
  readonly #balancer: BalancerProcess;
  readonly #dir: TempDir;
  readonly #broker: Broker | undefined;
  readonly #instances: ProcessInstance[] = [];
  readonly #places = new Places();
  /** What comes and what is cleared away: waited for before the rest ends. */
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #used = new UsedSoFar();
  readonly #endedByThemselves: EndedByItself[] = [];
  #isHeld = false;
  #isOver = false;
  #started = 0;

  private constructor(arm: ScaledArmName, mains: Mains, balancer: BalancerProcess, dir: TempDir, broker: Broker | undefined) {
    this.arm = arm;
    this.#mains = mains;
    this.#balancer = balancer;
    this.#dir = dir;
    this.#broker = broker;
  }

  /** As `StartFleet` says. @param mains the programs, replaced in its own test */
  static async start(arm: ScaledArmName, counts: Counts, mains: Mains = MAINS): Promise<ProcessFleet> {
    const { spreading, pools, broker } = SCALED_ARMS[arm];
    // Ended in the reverse order when one of them does not start.
    await using started = new AsyncDisposableStack();
    const dir = await tempDir('diptych-fleet-');
    started.defer(() => dir.remove());
    const quota = broker ? cpuQuota('broker', CPUS_AN_INSTANCE, true) : undefined;
    if (quota) started.defer(() => quota.remove());
    const server = quota && (await startNatsServer({ launcher: quota.launcher }));
    if (server) started.defer(() => server.stop());
    const balancer = started.use(await BalancerProcess.start(spreading));
    const fleet = new ProcessFleet(arm, mains, balancer, dir, server && quota && { server, quota });
    // They are the fleet's from now on.
    started.move();
    try {
      const starting = pools.flatMap(({ pool, isScaled }) =>
        Array.from({ length: isScaled ? (counts[pool] ?? 1) : 1 }, () => fleet.add(pool)),
      );
      // All of them have to have ended, one way or the other, before what has started can be ended.
      for (const each of await Promise.allSettled(starting)) if (each.status === 'rejected') throw each.reason;
      await balancer.untilWarm();
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  hold(): void {
    this.#isHeld = true;
    for (const quota of [this.#broker?.quota, ...this.#instances.map((each) => each.quota)]) quota?.hold();
  }

  get url(): string {
    return this.#balancer.url;
  }

  serving(pool: Pool): ProcessInstance[] {
    return this.#instances.filter((instance) => instance.pool === pool);
  }

  endedByThemselves(): readonly EndedByItself[] {
    return this.#endedByThemselves;
  }

  add(pool: Pool): Promise<ProcessInstance> {
    return this.#follow(this.#add(pool));
  }

  async #add(pool: Pool): Promise<ProcessInstance> {
    const number = ++this.#started;
    const name = `${pool}-${number}`;
    const quota = cpuQuota(name, CPUS_AN_INSTANCE, !this.#isHeld);
    const variables = {
      // Compiling is a tenth of what a start costs, and the second instance of a kind is spared it.
      NODE_COMPILE_CACHE: `${this.#dir.path}/compiled`,
      DIPTYCH_HTTP_PORT: '0',
      DIPTYCH_TELEMETRY_LEVEL: 'info',
      ...((pool === 'log' || pool === 'replica') && { DIPTYCH_LOG_DATA_DIR: `${this.#dir.path}/${name}` }),
      ...(this.#broker && { DIPTYCH_NATS_URL: this.#broker.server.url }),
    };
    let process: AppProcess | undefined;
    let slot: number | undefined;
    try {
      process = await startApp({ name, main: this.#mains[pool], variables, launcher: quota.launcher });
      slot = pool === SCALED_ARMS[this.arm].edge ? this.#places.take() : undefined;
      const instance: ProcessInstance = { name, pool, url: process.url, process, quota, slot };
      if (slot !== undefined) await this.#balancer.admit(slot, process.port);
      // What was told to all while it started was not told to it.
      if (this.#isHeld) quota.hold();
      if (this.#isOver) throw new DiptychError('CANCELLED', `${name} came when the fleet was at its end`);
      this.#instances.push(instance);
      void process.exited.then((exit) => {
        if (!this.#isOver && this.#instances.includes(instance)) void this.#follow(this.#clearAway(instance, exit));
      });
      return instance;
    } catch (error) {
      if (slot !== undefined) await this.#balancer.expel(slot).catch(() => undefined);
      this.#places.free(slot);
      await process?.kill('SIGKILL');
      await quota.remove();
      throw error;
    }
  }

  async remove(instance: ProcessInstance): Promise<void> {
    this.#forget(instance);
    // What cannot be drained does not run on beside what is measured next.
    const drained = instance.slot === undefined ? undefined : this.#balancer.drain(instance.slot);
    await drained?.catch(async (error: unknown) => {
      await this.#end(instance);
      throw error;
    });
    this.#places.free(instance.slot);
    this.#used.keep(instance.name, cpuMsOf([instance.process.pid]));
    const exit = await instance.process.stop();
    await instance.quota.remove();
    if (exit.code !== 0) throw new DiptychError('INTERNAL', `${instance.name} ended with ${exit.code ?? exit.signal} instead of draining`);
  }

  async discard(instance: ProcessInstance): Promise<void> {
    this.#forget(instance);
    await this.#end(instance);
  }

  /** SIGKILL, by surprise: nobody is told. @returns what the operating system said of its end */
  async kill(instance: ProcessInstance): Promise<string> {
    this.#used.keep(instance.name, cpuMsOf([instance.process.pid]));
    this.#forget(instance);
    await instance.process.kill('SIGKILL');
    const { signal } = await instance.process.exited;
    this.#places.free(instance.slot);
    await instance.quota.remove();
    return `${instance.name} (process ${instance.process.pid}) ended by ${signal}`;
  }

  async use(): Promise<FleetUse[]> {
    const of = (name: string, pool: FleetUse['pool'], pid: number, quota?: CpuQuota): FleetUse => {
      return { name, pool, cpus: quota?.cpus, cpuMs: this.#used.of(name, cpuMsOf([pid])), throttling: quota?.throttling() };
    };
    return [
      ...this.#instances.map(({ name, pool, process, quota }) => of(name, pool, process.pid, quota)),
      ...(this.#broker ? [of('broker', 'broker', this.#broker.server.pid, this.#broker.quota)] : []),
      of('balancer', 'balancer', this.#balancer.pid),
    ];
  }

  async cpuMs(): Promise<number> {
    return (await this.use()).reduce((sum, { cpuMs }) => sum + cpuMs, this.#used.byWhatIsGoneMs);
  }

  async memoryBytes(): Promise<number> {
    const pids = [
      ...this.#instances.map(({ process }) => process.pid),
      this.#balancer.pid,
      ...(this.#broker ? [this.#broker.server.pid] : []),
    ];
    return usageOf(pids).memoryBytes ?? Number.NaN;
  }

  async places(timeoutMs?: number): Promise<Map<string, BalancerSlot>> {
    return placesOf(this.#instances, await this.#balancer.slots(timeoutMs));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    await this.#balancer[Symbol.asyncDispose]();
    await Promise.allSettled(this.#instances.map(({ process }) => process.kill('SIGKILL')));
    await this.#broker?.server.stop();
    await Promise.allSettled([...this.#instances.map(({ quota }) => quota.remove()), this.#broker?.quota.remove()]);
    await this.#dir.remove();
  }

  #forget(instance: ProcessInstance): void {
    const index = this.#instances.indexOf(instance);
    if (index === -1) throw new RangeError(`${instance.name} is not one of this fleet`);
    this.#instances.splice(index, 1);
  }

  async #end(instance: ProcessInstance): Promise<void> {
    this.#used.keep(instance.name, cpuMsOf([instance.process.pid]));
    await instance.process.kill('SIGKILL');
    await this.#tidyAfter(instance);
  }

  /** Its process is gone. */
  async #tidyAfter({ slot, quota }: ProcessInstance): Promise<void> {
    if (slot !== undefined) await this.#balancer.expel(slot).catch(() => undefined);
    this.#places.free(slot);
    await quota.remove();
  }

  /** It has ended by itself: what is left of it goes, and from now on there is one fewer. */
  async #clearAway(instance: ProcessInstance, { code, signal }: ProcessExit): Promise<void> {
    this.#forget(instance);
    const complaint = instance.process.stderr.trim().slice(-COMPLAINT_CHARS_MAX);
    this.#endedByThemselves.push({
      name: instance.name,
      pool: instance.pool,
      how: `${signal ?? `exit code ${code}`}, ${complaint || 'without a word'}`,
    });
    this.#used.keep(instance.name);
    await this.#tidyAfter(instance).catch(() => undefined);
  }

  #follow<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    const done = () => void this.#underWay.delete(work);
    work.then(done, done);
    return work;
  }
}
