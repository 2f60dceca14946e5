import { DiptychError } from '@diptych/kernel';
import { tempDir, waitFor, type TempDir } from '@diptych/testing';
import { Balancer, placesIn, type BalancerSlot } from './balancer.js';
import { ComposeProject, type Container } from './compose-project.js';
import { docker as dockerHere, type Docker } from './container-engine.js';
import { groupUseOf, hasEnded, type GroupUse } from './control-group.js';
import { PERIOD_MS } from './cpu-quota.js';
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

export interface ContainerInstance extends Instance {
  readonly id: string;
  /** Of its only process, as the engine's machine counts. */
  readonly pid: number;
}

/** By how the files of compose name them. */
const SERVICES: Readonly<Record<Pool, string>> = { replica: 'monolith-replica', log: 'log', cache: 'cache', gateway: 'gateway-replica' };
const BALANCER = 'scaling-balancer';
/** Inside every container of ours. */
const PORT = 8080;

type AsBalancer = Pick<Balancer, 'url' | 'admit' | 'drain' | 'expel' | 'isThere' | 'slots' | 'untilWarm'>;

export interface ContainerFleetOptions {
  /** Unique on the engine. */
  readonly project: string;
  /** Of a core; default what each instance has. */
  readonly cpus?: number;
  /** The engine, what the kernel says of a container, what is told to the balancer, and whether a container is ready; replaced in its own test. */
  readonly docker?: Docker;
  readonly groupUseOf?: (pid: number, container: string) => GroupUse;
  readonly balancerAt?: (url: string, socket: string) => AsBalancer;
  readonly isReady?: (url: string) => Promise<boolean>;
}

/**
 * Of containers, by Docker Compose: one more is `docker compose up --scale` by one, and one less is the container that was chosen, drained, stopped and
 * removed. Their quotas are compose's limits, from their first instruction. The lab reaches them by their addresses, as the engine's own machine can.
 */
export class ContainerFleet implements Fleet<ContainerInstance> {
  readonly arm: ScaledArmName;
  readonly #options: ContainerFleetOptions;
  readonly #cpus: number;
  readonly #compose: ComposeProject;
  readonly #groupUseOf: (pid: number, container: string) => GroupUse;
  readonly #dir: TempDir;
  readonly #instances: ContainerInstance[] = [];
  readonly #places = new Places();
  /** The broker and the balancer, by what they are. */
  readonly #others = new Map<'broker' | 'balancer', Pick<ContainerInstance, 'id' | 'pid'>>();
  #balancer: AsBalancer | undefined;
  readonly #used = new UsedSoFar();
  readonly #endedByThemselves: EndedByItself[] = [];
  /** Containers that ended by themselves and are being cleared away. */
  readonly #clearing = new Set<Promise<void>>();

  private constructor(arm: ScaledArmName, options: ContainerFleetOptions, dir: TempDir) {
    this.arm = arm;
    this.#options = options;
    this.#cpus = options.cpus ?? CPUS_AN_INSTANCE;
    this.#groupUseOf = options.groupUseOf ?? groupUseOf;
    this.#dir = dir;
    const variables = {
      SCALING_DIR: dir.path,
      SCALING_QUOTA_US: String(Math.round(this.#cpus * PERIOD_MS * 1000)),
      SCALING_USER: `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`,
    };
    this.#compose = new ComposeProject(options.project, variables, options.docker ?? dockerHere);
  }

  /** As `StartFleet` says, but that they are held to their quotas at once. */
  static async start(arm: ScaledArmName, counts: Counts, options: ContainerFleetOptions): Promise<ContainerFleet> {
    const fleet = new ContainerFleet(arm, options, await tempDir('diptych-fleet-'));
    try {
      await fleet.#start(counts);
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return this.#balancer!.url;
  }

  hold(): void {
    // They are.
  }

  serving(pool: Pool): ContainerInstance[] {
    this.#lookForEnded();
    return this.#instances.filter((instance) => instance.pool === pool);
  }

  endedByThemselves(): readonly EndedByItself[] {
    this.#lookForEnded();
    return this.#endedByThemselves;
  }

  async add(pool: Pool): Promise<ContainerInstance> {
    const created = await this.#compose.addTo(SERVICES[pool]);
    try {
      return await this.#takeIn(pool, created);
    } catch (error) {
      await this.#compose.end(created.Id);
      throw error;
    }
  }

  async remove(instance: ContainerInstance): Promise<void> {
    this.#forget(instance);
    const drained = instance.slot === undefined ? undefined : this.#balancer!.drain(instance.slot);
    // What cannot be drained does not run on, uncounted, beside what is measured next.
    const failure = await drained?.then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    if (failure && instance.slot !== undefined) await this.#balancer!.expel(instance.slot).catch(() => undefined);
    this.#places.free(instance.slot);
    this.#used.keep(instance.name, this.#groupOf(instance)?.cpuMs);
    const exitCode = await this.#compose.end(instance.id);
    if (failure) throw failure.error;
    if (exitCode !== 0) throw new DiptychError('INTERNAL', `${instance.name} ended with ${exitCode} instead of draining`);
  }

  async discard(instance: ContainerInstance): Promise<void> {
    this.#forget(instance);
    this.#used.keep(instance.name, this.#groupOf(instance)?.cpuMs);
    await this.#leavePlace(instance);
    await this.#compose.kill(instance.id);
  }

  async use(): Promise<FleetUse[]> {
    return this.#processes().map((each) => {
      const { name, pool } = each;
      const group = this.#groupOf(each);
      const [cpuMs, throttling] = [this.#used.of(name, group?.cpuMs), group?.throttling];
      return pool === 'balancer'
        ? { name, pool, cpus: undefined, cpuMs, throttling: undefined }
        : { name, pool, cpus: this.#cpus, cpuMs, throttling };
    });
  }

  async places(timeoutMs?: number): Promise<Map<string, BalancerSlot>> {
    return placesOf(this.#instances, await this.#balancer!.slots(timeoutMs));
  }

  async cpuMs(): Promise<number> {
    return (await this.use()).reduce((sum, { cpuMs }) => sum + cpuMs, this.#used.byWhatIsGoneMs);
  }

  async memoryBytes(): Promise<number> {
    return this.#processes().reduce((sum, each) => sum + (this.#groupOf(each)?.memoryBytes ?? Number.NaN), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#clearing);
    await this.#compose.down().finally(() => this.#dir.remove());
  }

  async #start(counts: Counts): Promise<void> {
    const { pools, edge, broker, spreading } = SCALED_ARMS[this.arm];
    const { socket } = placesIn(this.#dir.path, `*:${PORT}`, spreading);
    const scaled = pools.filter(({ isScaled }) => isScaled).map(({ pool }) => [SERVICES[pool], counts[pool] ?? 1] as const);
    await this.#compose.up([BALANCER, ...pools.map(({ pool }) => SERVICES[pool])], new Map(scaled));
    for (const [what, service] of [...(broker ? [['broker', 'nats'] as const] : []), ['balancer', BALANCER] as const]) {
      const [only] = await this.#compose.newOf(service);
      if (!only) throw new DiptychError('INTERNAL', `compose started no ${service}`);
      this.#others.set(what, { id: only.Id, pid: only.State.Pid });
      this.#groupUseOf(only.State.Pid, only.Id);
      if (what === 'balancer') this.#balancer = (this.#options.balancerAt ?? balancerAt)(urlOf(only), socket);
    }
    await waitFor(() => this.#balancer!.isThere(), { what: 'the balancer takes commands', timeoutMs: 60_000, pollMs: 50 });
    // Who stands behind the balancer needs the others, and so comes last.
    for (const { pool } of [...pools].sort((a, b) => Number(a.pool === edge) - Number(b.pool === edge)))
      await Promise.all((await this.#compose.newOf(SERVICES[pool])).map((container) => this.#takeIn(pool, container)));
    await this.#balancer!.untilWarm();
  }

  #lookForEnded(): void {
    for (const each of this.#instances.filter((one) => !this.#groupOf(one))) this.#clearAway(each);
  }

  /** Its process is gone; the engine has perhaps started another in it, of which the balancer does not know. From now on there is one fewer. */
  #clearAway(instance: ContainerInstance): void {
    this.#forget(instance);
    this.#used.keep(instance.name);
    this.#endedByThemselves.push({ name: instance.name, pool: instance.pool, how: `its process (${instance.pid}) is gone` });
    const clearing = this.#leavePlace(instance)
      .then(async () => void (await this.#compose.end(instance.id)))
      .catch(() => undefined);
    this.#clearing.add(clearing);
    void clearing.then(() => this.#clearing.delete(clearing));
  }

  async #leavePlace({ slot }: ContainerInstance): Promise<void> {
    if (slot !== undefined) await this.#balancer!.expel(slot).catch(() => undefined);
    this.#places.free(slot);
  }

  #forget(instance: ContainerInstance): void {
    const index = this.#instances.indexOf(instance);
    if (index === -1) throw new RangeError(`${instance.name} is not one of this fleet`);
    this.#instances.splice(index, 1);
  }

  #processes(): ReadonlyArray<Pick<ContainerInstance, 'name' | 'id' | 'pid'> & Pick<FleetUse, 'pool'>> {
    return [...this.#instances, ...[...this.#others].map(([what, { id, pid }]) => ({ name: what, pool: what, id, pid }))];
  }

  /** Undefined: it has ended by itself, and the engine has perhaps started it anew. @throws Error when that cannot be told */
  #groupOf({ pid, id }: Pick<ContainerInstance, 'pid' | 'id'>): GroupUse | undefined {
    try {
      return this.#groupUseOf(pid, id);
    } catch (error) {
      if (hasEnded(error)) return undefined;
      throw error;
    }
  }

  /** Resolves when it takes requests. */
  async #takeIn(pool: Pool, container: Container): Promise<ContainerInstance> {
    const name = this.#compose.shortNameOf(container);
    const url = urlOf(container);
    await waitFor(() => (this.#options.isReady ?? isReady)(url), { what: `${name} is ready`, timeoutMs: 120_000, pollMs: 50 });
    // Whose group cannot be seen now is not one that has ended later.
    this.#groupUseOf(container.State.Pid, container.Id);
    const slot = pool === SCALED_ARMS[this.arm].edge ? this.#places.take() : undefined;
    try {
      if (slot !== undefined) await this.#balancer!.admit(slot, PORT, new URL(url).hostname);
    } catch (error) {
      if (slot !== undefined) await this.#balancer!.expel(slot).catch(() => undefined);
      this.#places.free(slot);
      throw error;
    }
    const instance = { id: container.Id, pid: container.State.Pid, name, pool, url, slot };
    this.#instances.push(instance);
    return instance;
  }
}

/** Builds the images that the containers are made of. */
export async function buildImages(): Promise<void> {
  await dockerHere(['compose', '--profile', 'replicas', 'build', '--quiet', 'log', 'balancer']);
}

/** On the network that the balancer is in, else on the only one. */
function urlOf({ Name, NetworkSettings: { Networks: networks } }: Container): string {
  const [edge] = Object.entries(networks).filter(([name]) => name.endsWith('_edge'));
  const address = (edge?.[1] ?? Object.values(networks)[0])?.IPAddress;
  if (!address) throw new DiptychError('INTERNAL', `${Name} has no address`);
  return `http://${address}:${PORT}`;
}

const balancerAt = (url: string, socket: string) => new Balancer(url, socket);

async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(5_000) });
    await answer.body?.cancel();
    return answer.status === 200;
  } catch {
    return false;
  }
}
