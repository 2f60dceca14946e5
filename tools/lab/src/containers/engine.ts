import { spawnSync } from 'node:child_process';
import { Pool } from 'undici';

/** What the engine's control groups say of one container since it was started. */
export interface Account {
  readonly cpuMs: number;
  /** Periods in which its quota was used up before they ended. */
  readonly throttledPeriods: number;
  readonly throttledMs: number;
  /** In use, without the page cache. */
  readonly memoryBytes: number;
  readonly rssBytes: number;
  readonly memoryLimitBytes: number;
}

/** As the engine was told and as it is. */
export interface ContainerState {
  readonly id: string;
  readonly running: boolean;
  readonly exitCode: number;
  readonly pid: number;
  /** Undefined: has no health check. */
  readonly health: string | undefined;
  /** Cores; 0: as many as there are. */
  readonly cpus: number;
  readonly memoryLimitBytes: number;
}

const CONNECTIONS = 16;

interface Stats {
  cpu_stats: { cpu_usage: { total_usage: number }; throttling_data: { throttled_periods: number; throttled_time: number } };
  memory_stats: { usage: number; limit: number; stats: Record<string, number> };
}

interface Inspected {
  Id: string;
  State: { Running: boolean; ExitCode: number; Pid: number; Health?: { Status: string } };
  HostConfig: { NanoCpus: number; Memory: number };
}

/** The container engine that the `docker` command talks to, by its own interface: a figure costs milliseconds, and the command hundreds. */
export class Engine implements AsyncDisposable {
  readonly #client: Pool;

  private constructor(client: Pool) {
    this.#client = client;
  }

  /** @throws Error with one sentence when no engine answers */
  static async find(): Promise<Engine> {
    const { status, stdout, stderr } = spawnSync('docker', ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'], {
      encoding: 'utf8',
    });
    const host = process.env['DOCKER_HOST'] || stdout?.trim();
    if (status !== 0 || !host) throw new Error(`there is no container engine: ${stderr?.trim() || 'no docker command was found'}`);
    const socketPath = /^unix:\/\/(.+)$/.exec(host)?.[1];
    if (socketPath === undefined && !host.startsWith('tcp://')) throw new Error(`a container engine at ${host} is not spoken to from here`);
    // Each figure on a connection of its own: an engine may look only once a second, and then tells all who have asked.
    const client =
      socketPath === undefined
        ? new Pool(host.replace('tcp:', 'http:'), { connections: CONNECTIONS })
        : new Pool('http://localhost', { socketPath, connections: CONNECTIONS });
    const engine = new Engine(client);
    try {
      await engine.#send('GET', '/version');
      return engine;
    } catch (error) {
      await client.destroy();
      throw new Error(`no container engine answers at ${host}`, { cause: error });
    }
  }

  /** The only container of a service of a compose project. @throws Error when there is none */
  async containerOf(project: string, service: string): Promise<ContainerState> {
    const filters = { label: [`com.docker.compose.project=${project}`, `com.docker.compose.service=${service}`] };
    const [found] = await this.#send<Array<{ Id: string }>>(
      'GET',
      `/containers/json?all=true&filters=${encodeURIComponent(JSON.stringify(filters))}`,
    );
    if (!found) throw new Error(`the project ${project} has no container of ${service}`);
    return this.state(found.Id);
  }

  async state(id: string): Promise<ContainerState> {
    const { State: state, HostConfig: limits } = await this.#send<Inspected>('GET', `/containers/${id}/json`);
    return {
      id,
      running: state.Running,
      exitCode: state.ExitCode,
      pid: state.Pid,
      health: state.Health?.Status,
      cpus: limits.NanoCpus / 1e9,
      memoryLimitBytes: limits.Memory,
    };
  }

  /** Takes up to a second where another was asked for less than a second ago. */
  async account(id: string): Promise<Account> {
    const { cpu_stats: cpu, memory_stats: memory } = await this.#send<Stats>('GET', `/containers/${id}/stats?stream=false&one-shot=true`);
    // Names as in cgroup v2, and in v1.
    const { inactive_file, total_inactive_file, anon, total_rss } = memory.stats;
    return {
      cpuMs: cpu.cpu_usage.total_usage / 1e6,
      throttledPeriods: cpu.throttling_data.throttled_periods,
      throttledMs: cpu.throttling_data.throttled_time / 1e6,
      memoryBytes: memory.usage - (inactive_file ?? total_inactive_file ?? 0),
      rssBytes: anon ?? total_rss ?? 0,
      memoryLimitBytes: memory.limit,
    };
  }

  async kill(id: string): Promise<void> {
    await this.#send('POST', `/containers/${id}/kill?signal=SIGKILL`);
  }

  async start(id: string): Promise<void> {
    await this.#send('POST', `/containers/${id}/start`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy();
  }

  async #send<T>(method: 'GET' | 'POST', path: string): Promise<T> {
    const { statusCode, body } = await this.#client.request({ method, path: `/v1.41${path}`, headersTimeout: 30_000, bodyTimeout: 30_000 });
    const text = await body.text();
    if (statusCode >= 400) throw new Error(`${method} ${path}: ${statusCode} ${text.trim()}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }
}
