import { spawnSync } from 'node:child_process';
import { FaultControl } from '@diptych/fault-proxy';
import { waitFor, WORKSPACE } from '@diptych/testing';
import { getContainerRuntimeClient } from 'testcontainers';

export const ARM_NAMES = ['monolith', 'services'] as const;
export type ArmName = (typeof ARM_NAMES)[number];
export type PanelPart = 'monolith' | 'gateway' | 'cache' | 'log' | 'nats';
export const BROKERS = ['nats-1', 'nats-2', 'nats-3'] as const;
/** Services of docker-compose.yml. */
export type PartName = PanelPart | (typeof BROKERS)[number];
export const PARTS: Readonly<Record<ArmName, readonly PanelPart[]>> = {
  monolith: ['monolith'],
  services: ['gateway', 'cache', 'log', 'nats'],
};

/** From the root of the workspace. */
export const COMPOSE_FILES = ['docker-compose.yml', 'e2e/containers/compose.faults.yml'] as const;

/** Where the panels of this run are; plain data, since it crosses into the test workers. */
export interface PanelsAddress {
  readonly project: string;
  readonly urls: Readonly<Record<ArmName | 'cluster', string>>;
  readonly controlUrl: string;
  /** Where the cells of this run are noted. */
  readonly recordDir: string;
  /** From `docker compose up`, images built before, until every container was healthy. */
  readonly upMs: number;
  /** The settings that the compose files were read with. */
  readonly variables: Readonly<Record<string, string>>;
}

/** The state of a container as the engine tells it. */
export interface PartState {
  readonly running: boolean;
  readonly paused: boolean;
  readonly exitCode: number;
  readonly pid: number;
  readonly startedAt: string;
  readonly restarts: number;
}

/** The containers of one compose project, by the names of their services. */
export class Panels {
  readonly address: PanelsAddress;

  constructor(address: PanelsAddress) {
    this.address = address;
  }

  /** The wire from a service to the broker. */
  wire(part: 'gateway' | 'cache' | 'log'): FaultControl {
    return new FaultControl(this.address.controlUrl, part);
  }

  async state(part: PartName): Promise<PartState> {
    const container = await this.#container(part);
    const { State: state, RestartCount: restarts } = await container.inspect();
    return {
      running: state.Running,
      paused: state.Paused,
      exitCode: state.ExitCode,
      pid: state.Pid,
      startedAt: state.StartedAt,
      restarts,
    };
  }

  /** Starts or ends containers of a service until there are so many, all healthy. */
  scale(service: 'cache', count: number): void {
    const { project, variables } = this.address;
    const up = ['--profile', 'monolith', 'up', '--detach', '--no-recreate', '--wait', '--scale', `${service}=${count}`];
    compose(['--project-name', project, ...up], variables);
  }

  /** The services over three brokers, beside the panels. */
  startCluster(): void {
    const { project, variables } = this.address;
    compose(['--project-name', project, 'up', '--detach', '--no-recreate', '--wait', 'cluster-gateway'], variables);
  }

  endCluster(): void {
    const { project, variables } = this.address;
    const services = ['cluster-gateway', 'cluster-cache', 'cluster-log', ...BROKERS];
    compose(['--project-name', project, 'rm', '--stop', '--force', '--volumes', ...services], variables);
  }

  /** As its health check last found it. */
  async isHealthy(part: PartName): Promise<boolean> {
    const { State: state } = await (await this.#container(part)).inspect();
    return state.Health?.Status === 'healthy';
  }

  /** SIGKILL; the engine does not start it again by itself. */
  async kill(part: PartName): Promise<void> {
    await (await this.#container(part)).kill({ signal: 'SIGKILL' });
    await waitFor(async () => !(await this.state(part)).running, { what: `${part} is gone` });
  }

  async start(part: PartName): Promise<void> {
    await (await this.#container(part)).start();
  }

  /** SIGTERM; the engine does not start it again by itself. */
  async stop(part: PartName): Promise<void> {
    await (await this.#container(part)).stop({ t: 20 });
  }

  async pause(part: PartName): Promise<void> {
    await (await this.#container(part)).pause();
  }

  async unpause(part: PartName): Promise<void> {
    await (await this.#container(part)).unpause();
  }

  /** SIGTERM, and a new process in the same container. */
  async restart(part: PartName): Promise<void> {
    await (await this.#container(part)).restart({ t: 20 });
  }

  /** Processor time for a container as the kernel's bandwidth control has it: `quotaUs` of each second; undefined gives back all. */
  async allowCpu(part: PartName, quotaUs: number | undefined): Promise<void> {
    await (await this.#container(part)).update({ CpuPeriod: quotaUs ? 1_000_000 : 100_000, CpuQuota: quotaUs ?? -1 });
  }

  /** For how long the kernel has kept a container from running, and in how many periods, since it was started. */
  async throttled(part: PartName): Promise<{ periods: number; ms: number }> {
    const { cpu_stats: cpu } = await (await this.#container(part)).stats({ stream: false, 'one-shot': true });
    return { periods: cpu.throttling_data.throttled_periods, ms: cpu.throttling_data.throttled_time / 1e6 };
  }

  /** Takes a container out of the network between the parts. @returns what puts it back, under the same name */
  async cutOff(part: PartName): Promise<() => Promise<void>> {
    const { dockerode } = (await getContainerRuntimeClient()).container;
    const container = await this.#container(part);
    const network = dockerode.getNetwork(`${this.address.project}_inside`);
    await network.disconnect({ Container: container.id });
    return () => network.connect({ Container: container.id, EndpointConfig: { Aliases: [part] } });
  }

  /**
   * Delays every sync that the processes of a container ask the kernel for, by strace from another container that sees them. It goes with the
   * project if it is not ended.
   */
  async delaySyncs(part: PartName, delayMs: number): Promise<{ seen(): Promise<number[]>; end(): Promise<void> }> {
    const { dockerode } = (await getContainerRuntimeClient()).container;
    const { id } = await this.#container(part);
    const calls = 'fsync,fdatasync';
    const tracer = await dockerode.createContainer({
      Image: 'diptych-fault-proxy:local',
      User: 'root',
      Entrypoint: ['strace', '-f', '-qq', '-T', '-e', `trace=${calls}`, '-e', `inject=${calls}:delay_enter=${delayMs * 1000}`, '-p', '1'],
      Cmd: [],
      Labels: {
        'com.docker.compose.project': this.address.project,
        'com.docker.compose.service': 'tracer',
        'com.docker.compose.oneoff': 'False',
      },
      HostConfig: { PidMode: `container:${id}`, NetworkMode: 'none', CapDrop: ['ALL'], CapAdd: ['SYS_PTRACE'] },
    });
    await tracer.start();
    return {
      // How long each call took that has ended, in milliseconds.
      async seen() {
        const text = String(await tracer.logs({ stdout: true, stderr: true }));
        return [...text.matchAll(/= 0 .*<(\d+\.\d+)>/g)].map(([, seconds]) => Number(seconds) * 1000);
      },
      async end() {
        // SIGTERM lets go of what it holds; a kill would too.
        await tracer.stop({ t: 10 }).catch(() => undefined);
        await tracer.remove({ force: true });
      },
    };
  }

  /** Resolves with its output, stderr included, when the command has ended, or at once when it is left running. */
  async exec(part: PartName | 'faults', command: readonly string[]): Promise<{ output: string; exitCode: number }> {
    const client = await getContainerRuntimeClient();
    return client.container.exec(await this.#container(part), [...command]);
  }

  /** Runs on by itself in the container. */
  async spawn(part: PartName, command: readonly string[]): Promise<void> {
    const exec = await (await this.#container(part)).exec({ Cmd: [...command] });
    await exec.start({ Detach: true });
  }

  /** Bytes in use without the page cache, summed over an arm. */
  async memoryBytes(arm: ArmName): Promise<number> {
    // The engine looks once a second, at all that are asked for together.
    const bytes = await Promise.all(PARTS[arm].map((part) => this.memoryOf(part)));
    return bytes.reduce((sum, each) => sum + each, 0);
  }

  /** Bytes in use without the page cache. */
  async memoryOf(part: PartName): Promise<number> {
    const { memory_stats: memory } = await (await this.#container(part)).stats({ stream: false, 'one-shot': true });
    // Names as in cgroup v2 and v1.
    return memory.usage - (memory.stats.inactive_file ?? memory.stats.total_inactive_file ?? 0);
  }

  /** What the engine noted about a container: `oom`, `die` with its exit code, and so on. */
  async events(part: PartName, kinds: readonly string[], sinceMs: number): Promise<string[]> {
    const client = await getContainerRuntimeClient();
    const { id } = await this.#container(part);
    const stream = await client.container.dockerode.getEvents({
      since: sinceMs / 1000,
      until: Date.now() / 1000,
      filters: { container: [id], event: [...kinds] },
    });
    let text = '';
    for await (const chunk of stream) text += String(chunk);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { Action: string; Actor: { Attributes: Record<string, string> } })
      .map(({ Action, Actor }) => (Action === 'die' ? `die ${Actor.Attributes['exitCode']}` : Action));
  }

  /** What its processes have written since then. */
  async wrote(part: PartName, sinceMs: number): Promise<string> {
    const client = await getContainerRuntimeClient();
    const { id } = await this.#container(part);
    return String(
      await client.container.dockerode.getContainer(id).logs({ stdout: true, stderr: true, since: Math.floor(sinceMs / 1000) }),
    );
  }

  async imageBytes(part: PartName): Promise<number> {
    const client = await getContainerRuntimeClient();
    const { Image } = await (await this.#container(part)).inspect();
    return (await client.container.dockerode.getImage(Image).inspect()).Size;
  }

  async #container(service: PartName | 'faults') {
    const client = await getContainerRuntimeClient();
    const filters = { label: [`com.docker.compose.project=${this.address.project}`, `com.docker.compose.service=${service}`] };
    // The same one each time, also among several.
    const [found] = (await client.container.dockerode.listContainers({ all: true, filters })).sort((a, b) =>
      a.Names.join().localeCompare(b.Names.join()),
    );
    if (!found) throw new Error(`the project ${this.address.project} has no container of ${service}`);
    return client.container.getById(found.Id);
  }
}

/** @throws Error with what it wrote */
export function compose(args: readonly string[], variables: Readonly<Record<string, string>>): void {
  const files = COMPOSE_FILES.flatMap((file) => ['--file', file]);
  const { status, stderr, stdout } = spawnSync('docker', ['compose', ...files, ...args], {
    cwd: WORKSPACE,
    env: { ...process.env, ...variables },
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`docker compose ${args.join(' ')}:\n${stdout}${stderr}`);
}

/** All that bears the label of a project and is still there. @param project whole, or what its name begins with and an asterisk */
export async function leftovers(project: string): Promise<string[]> {
  const { dockerode } = (await getContainerRuntimeClient()).container;
  const label = 'com.docker.compose.project';
  const filters = { label: [project.endsWith('*') ? label : `${label}=${project}`] };
  const isOfIt = ({ Labels: labels }: { Labels?: Record<string, string> | null }) =>
    !project.endsWith('*') || labels?.[label]?.startsWith(project.slice(0, -1));
  const containers = await dockerode.listContainers({ all: true, filters });
  const networks = await dockerode.listNetworks({ filters });
  const { Volumes: volumes } = await dockerode.listVolumes({ filters });
  return [
    ...containers.filter(isOfIt).map(({ Names: names }) => `container ${names.join()}`),
    ...networks.filter(isOfIt).map(({ Name: name }) => `network ${name}`),
    ...(volumes ?? []).filter(isOfIt).map(({ Name: name }) => `volume ${name}`),
  ];
}

/** Images of this repository that a later build has taken the name from, and that no container is made of. */
export async function namelessImages(): Promise<string[]> {
  const { dockerode } = (await getContainerRuntimeClient()).container;
  const images = await dockerode.listImages({ filters: { dangling: ['true'], label: ['diptych'] } });
  const used = new Set((await dockerode.listContainers({ all: true })).map(({ ImageID: id }) => id));
  return images.filter(({ Id: id }) => !used.has(id)).map(({ Id: id }) => `image ${id}`);
}
