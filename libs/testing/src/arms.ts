import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { startApp, type AppProcess, type Launcher } from './app-process.js';
import { startNatsServer, type NatsServer } from './nats-server.js';
import { tempDir, type TempDir } from './temp-dir.js';
import { waitFor } from './wait-for.js';

/** What a process of an arm does for the others. */
export type Part = 'gateway' | 'cache' | 'log';

/** One way of deploying the system: which processes there are, and which parts each of them holds. */
export interface ArmSpec {
  readonly name: string;
  readonly broker: boolean;
  /** In the order of their start; the stop goes the other way, from the edge inwards. */
  readonly processes: readonly ArmProcess[];
  /** Settings that make it what it is. */
  readonly variables?: Readonly<Record<string, string>>;
}

export interface ArmProcess {
  readonly name: string;
  readonly main: string;
  readonly parts: readonly Part[];
}

const app = (name: string) => `apps/${name}/dist/main.js`;
const grouping = (name: string) => `e2e/dist/groupings/${name}.js`;

const everything: ArmProcess = { name: 'monolith', main: app('monolith'), parts: ['gateway', 'cache', 'log'] };

/** The two panels, the monolith in several threads, and the groupings between them. Every end-to-end claim is made of all of them, or says of which. */
export const ARMS: readonly ArmSpec[] = [
  { name: 'monolith', broker: false, processes: [everything] },
  {
    name: 'services',
    broker: true,
    processes: [
      { name: 'log', main: app('log'), parts: ['log'] },
      { name: 'cache', main: app('cache'), parts: ['cache'] },
      { name: 'gateway', main: app('gateway'), parts: ['gateway'] },
    ],
  },
  {
    name: 'gateway+cache | log',
    broker: true,
    processes: [
      { name: 'log', main: app('log'), parts: ['log'] },
      { name: 'gateway-cache', main: grouping('gateway-cache'), parts: ['gateway', 'cache'] },
    ],
  },
  {
    name: 'gateway | cache+log',
    broker: true,
    processes: [
      { name: 'cache-log', main: grouping('cache-log'), parts: ['cache', 'log'] },
      { name: 'gateway', main: app('gateway'), parts: ['gateway'] },
    ],
  },
  { name: 'monolith-threads', broker: false, processes: [everything], variables: { DIPTYCH_THREADS_COUNT: '2' } },
];

export const PANELS: readonly ArmSpec[] = ARMS.filter(({ name }) => name === 'monolith' || name === 'services');

export const SERVICES: ArmSpec = ARMS[1]!;

/** Those in which a read that starts after an acknowledged write sees it, token or not. */
export const MONOLITHS: readonly ArmSpec[] = ARMS.filter(({ name }) => name.startsWith('monolith'));

/** The services with so many caches, `cache-1` and so on. */
export function servicesWithCaches(count: number): ArmSpec {
  const [log, , gateway] = SERVICES.processes;
  const caches = Array.from({ length: count }, (_, i) => cacheProcess(i + 1));
  return { name: `services with ${count} caches`, broker: true, processes: [log!, ...caches, gateway!] };
}

export function cacheProcess(number: number): ArmProcess {
  return { name: `cache-${number}`, main: app('cache'), parts: ['cache'] };
}

/** So many edges that each keep a cache of their own, `edge-1` and so on, before one log. */
export function edgesWithCaches(count: number): ArmSpec {
  const [log] = SERVICES.processes;
  const edges = Array.from({ length: count }, (_, i): ArmProcess => {
    return { name: `edge-${i + 1}`, main: grouping('gateway-cache'), parts: ['gateway', 'cache'] };
  });
  return { name: `${count} edges with caches | log`, broker: true, processes: [log!, ...edges] };
}

export interface ArmOptions {
  /** Settings for every process of the arm. */
  readonly variables?: Readonly<Record<string, string>>;
  /** For every process of the arm, the broker too. */
  readonly launcher?: Launcher | undefined;
  /**
   * A way of its own to the broker for a process, so that it can be held and cut: the port of the loopback interface where it begins, or undefined for
   * none. Asked for at each start of a process; whoever laid it ends it, after the arm.
   */
  readonly wire?: (process: string, brokerPort: number) => Promise<number | undefined>;
}

/**
 * A running arm: its own broker, data directory and ports. The address of a process stays the same over its restarts.
 *
 * End it with `stop`, which asserts that it ends cleanly and leaves nothing; `dispose` ends it however it is, and is safe after
 * `stop`, so it belongs into `afterAll`.
 */
export class Arm implements AsyncDisposable {
  readonly spec: ArmSpec;
  readonly #options: ArmOptions;
  readonly #dataDir: TempDir;
  readonly #broker: NatsServer | undefined;
  readonly #running = new Map<string, AppProcess>();
  readonly #added: ArmProcess[] = [];

  private constructor(spec: ArmSpec, options: ArmOptions, dataDir: TempDir, broker: NatsServer | undefined) {
    this.spec = spec;
    this.#options = options;
    this.#dataDir = dataDir;
    this.#broker = broker;
  }

  /** @throws Error with the output of the process that did not become ready; what had been started is ended */
  static async start(spec: ArmSpec, options: ArmOptions = {}): Promise<Arm> {
    const dataDir = await tempDir('diptych-e2e-');
    const broker = spec.broker ? await startNatsServer({ launcher: options.launcher }) : undefined;
    const arm = new Arm(spec, options, dataDir, broker);
    try {
      for (const process of spec.processes) await arm.#startProcess(process);
      await arm.untilReady();
      return arm;
    } catch (error) {
      await arm[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Of the HTTP edge. */
  get url(): string {
    return this.process(this.holding('gateway')).url;
  }

  get dataDir(): string {
    return this.#dataDir.path;
  }

  get pids(): number[] {
    return [...this.#running.values()].map(({ pid }) => pid);
  }

  get broker(): NatsServer {
    if (!this.#broker) throw new Error(`the arm ${this.spec.name} has no broker`);
    return this.#broker;
  }

  /** The name of the process that holds a part. */
  holding(part: Part): string {
    return this.spec.processes.find(({ parts }) => parts.includes(part))!.name;
  }

  process(name: string): AppProcess {
    const running = this.#running.get(name);
    if (!running) throw new Error(`the arm ${this.spec.name} has no process ${name}`);
    return running;
  }

  /** Starts one more process. */
  async add(process: ArmProcess): Promise<void> {
    this.#added.push(process);
    await this.#startProcess(process);
  }

  /** Sends a signal to the process that holds a part; with SIGKILL it waits until the process is gone, with SIGSTOP until it stands still. */
  async kill(part: Part, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.process(this.holding(part)).kill(signal);
  }

  /** Starts the process that holds a part again, at its old address; ends it first if it runs. */
  async restart(part: Part): Promise<void> {
    await this.restartProcess(this.holding(part));
  }

  /** As `restart`, by name. */
  async restartProcess(name: string): Promise<void> {
    const previous = this.process(name);
    await previous.stop();
    await this.#startProcess(
      this.#processes.find((process) => process.name === name)!,
      previous.port,
    );
  }

  /** Waits until every process says that it is ready. */
  async untilReady(timeoutMs = 120_000): Promise<void> {
    for (const [name, { url }] of this.#running) {
      await waitFor(async () => (await fetch(`${url}/health/ready`)).status === 200, { timeoutMs, what: `${name} is ready`, pollMs: 20 });
    }
  }

  /**
   * SIGTERM to each process, from the edge inwards, then the end of the broker.
   *
   * @throws Error when one exits with another code than 0, writes to stderr, or leaves its port open; when the data directory does not go
   */
  async stop(): Promise<void> {
    const complaints: string[] = [];
    for (const { name } of this.#processes.reverse()) {
      const running = this.process(name);
      const exit = await running.stop();
      if (exit.code !== 0) complaints.push(`${name} exited with ${exit.code ?? exit.signal}: ${running.stderr.slice(-1_000)}`);
      else if (running.stderr !== '') complaints.push(`${name} wrote to stderr: ${running.stderr.slice(-1_000)}`);
    }
    const ports = [...this.#running.values()].map(({ port }) => port);
    const { pids } = this;
    await this[Symbol.asyncDispose]();
    for (const port of ports) if (await isOpen(port)) complaints.push(`port ${port} is still open`);
    for (const pid of pids) if (isAlive(pid)) complaints.push(`process ${pid} is still there`);
    if (existsSync(this.dataDir)) complaints.push(`${this.dataDir} is still there`);
    if (complaints.length > 0) throw new Error(`${this.spec.name}: ${complaints.join('; ')}`);
  }

  /** Ends what runs, at once, and removes what was written. Never throws. Safe to repeat. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#running.values()].map((running) => running.kill('SIGKILL')));
    await this.#broker?.stop().catch(() => undefined);
    await this.#dataDir.remove().catch(() => undefined);
  }

  get #processes(): ArmProcess[] {
    return [...this.spec.processes, ...this.#added];
  }

  async #startProcess({ name, main }: ArmProcess, port = 0): Promise<void> {
    const wire = this.#broker && (await this.#options.wire?.(name, this.#broker.port));
    const variables = {
      DIPTYCH_HTTP_PORT: String(port),
      DIPTYCH_LOG_DATA_DIR: `${this.#dataDir.path}/log`,
      ...(this.#broker ? { DIPTYCH_NATS_URL: wire === undefined ? this.#broker.url : `nats://127.0.0.1:${wire}` } : {}),
      ...this.spec.variables,
      ...this.#options.variables,
    };
    this.#running.set(name, await startApp({ name, main, variables, launcher: this.#options.launcher }));
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
}
