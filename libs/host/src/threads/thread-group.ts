import { MessageChannel, Worker } from 'node:worker_threads';
import { DiptychError, systemClock, within } from '@diptych/kernel';
import { linkThreads, type PortDescriptor, type ThreadLink } from '@diptych/messaging';
import { aggregatedMetrics, type HealthAnswer, type HealthReport, type Telemetry } from '@diptych/telemetry';
import type { OtherThreads } from './tokens.js';
import { mainPort, type MainPort, type WorkerBirth, workerPort, type WorkerPort } from './thread.wire.js';

export interface ThreadGroupOptions {
  readonly name: string;
  /** The program of a worker: it calls `runThread`. */
  readonly program: URL;
  readonly count: number;
  readonly httpPort: number;
  readonly variables: Readonly<Record<string, string | undefined>> | undefined;
  readonly telemetry: Telemetry;
}

/** The worker threads of a process, as its main thread sees them. */
export class ThreadGroup implements OtherThreads, MainPort {
  /** Resolves with the reason when one has ended that should not have. */
  readonly failed: Promise<unknown>;
  readonly #options: ThreadGroupOptions;
  readonly #workers: Member[];
  readonly #shared: Record<string, unknown> = {};
  readonly #exitListeners: Array<(threadId: number) => void> = [];
  #isStopping = false;

  constructor(options: ThreadGroupOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.failed = promise;
    this.#workers = Array.from({ length: options.count }, (_, i) => new Member(i + 1, options));
    for (const member of this.#workers) {
      member.link.serve(mainPort, this);
      void member.exited.then((reason) => {
        for (const listener of this.#exitListeners) listener(member.threadId);
        if (!this.#isStopping) resolve(reason);
      });
    }
  }

  serve<Port>(descriptor: PortDescriptor<Port>, implementation: Port): void {
    for (const { link } of this.#workers) link.serve(descriptor, implementation);
  }

  share(name: string, value: unknown): void {
    if (name in this.#shared) throw new RangeError(`something named ${name} is shared already`);
    this.#shared[name] = value;
  }

  onExit(listener: (threadId: number) => void): void {
    this.#exitListeners.push(listener);
  }

  /** All on one port. @returns where that is @throws what the first that failed did */
  async listen(host: string, port: number): Promise<string> {
    const [first, ...others] = this.#workers;
    const { url } = await first!.ask((worker, context) => worker.listen({ host, port }, context));
    const taken = { host, port: Number(new URL(url).port) };
    await Promise.all(others.map((member) => member.ask((worker, context) => worker.listen(taken, context))));
    return url;
  }

  /** Starts the parts of all of them. */
  async open(): Promise<void> {
    const shared = this.#shared;
    await Promise.all(this.#workers.map((member) => member.ask((worker, context) => worker.open({ shared }, context))));
  }

  /** Of the process: ready when every thread is. One that does not answer, for its loop is blocked, is not. */
  async ready(): Promise<HealthReport> {
    const own = this.#options.telemetry.health.ready();
    const checks: Record<string, HealthAnswer> = { ...own.checks };
    const reasons = [...own.reasons];
    const reports = await Promise.all(
      this.#workers.map(({ port }) => port.ready({}, within(ANSWER_TIMEOUT_MS)).catch((error: unknown) => reportOf(error))),
    );
    for (const [i, { ok, reasons: why }] of reports.entries()) {
      checks[`thread ${i + 1}`] = ok ? { ok } : { ok, reason: why.join('; ') };
      reasons.push(...why.map((reason) => `thread ${i + 1}: ${reason}`));
    }
    return { ok: reasons.length === 0, reasons, checks };
  }

  /** Of the process: added up over the threads, as prom-client does for processes. What a thread that does not answer counts is missing. */
  async metrics(): Promise<{ readonly contentType: string; readonly text: string }> {
    const { metrics: own } = this.#options.telemetry;
    const asked = this.#workers.map(({ port }) => port.metrics({}, within(ANSWER_TIMEOUT_MS)).then(({ metrics }) => metrics));
    const answers = await Promise.all([own.getMetricsAsJSON(), ...asked.map((answer) => answer.catch(() => []))]);
    return { contentType: own.contentType, text: await aggregatedMetrics(answers) };
  }

  /** All at the same time: what each has accepted is answered. @throws AggregateError of what did not end in time */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    const problems = await Promise.all(this.#workers.map((member) => member.stop(graceMs)));
    const all = problems.flat();
    if (all.length > 0) throw new AggregateError(all.map((problem) => new DiptychError('DEADLINE_EXCEEDED', problem)));
  }

  /** Ends those that still run, however they are. */
  async end(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#workers.map(({ worker }) => worker.terminate()));
  }
}

class Member {
  readonly worker: Worker;
  readonly threadId: number;
  readonly link: ThreadLink;
  readonly port: WorkerPort;
  /** Resolves with the reason, which is an error if it ended by itself. */
  readonly exited: Promise<unknown>;
  readonly #number: number;

  constructor(number: number, { name, program, httpPort, variables }: ThreadGroupOptions) {
    this.#number = number;
    const { port1, port2 } = new MessageChannel();
    const birth: WorkerBirth = { name, number, httpPort, variables, port: port2 };
    this.worker = new Worker(program, { workerData: birth, transferList: [port2], name: `${name} ${number}` });
    // It has none any more once it has ended.
    this.threadId = this.worker.threadId;
    let thrown: unknown;
    this.worker.on('error', (error: unknown) => void (thrown = error));
    this.exited = new Promise((resolve) => {
      this.worker.once('exit', (code) => resolve(reasonOf(number, thrown, code)));
    });
    this.link = linkThreads(port1);
    this.port = this.link.client(workerPort);
  }

  /** One step of its start. A thread that dies at it is the error, rather than that nobody answers. */
  async ask<T>(question: (port: WorkerPort, context: ReturnType<typeof within>) => Promise<T>): Promise<T> {
    const died = this.exited.then((reason): never => {
      throw reason as Error;
    });
    died.catch(() => undefined);
    return Promise.race([question(this.port, within(START_TIMEOUT_MS)), died]);
  }

  async stop(graceMs: number): Promise<readonly string[]> {
    const named = (problem: string) => `thread ${this.#number}: ${problem}`;
    const asked = this.port.stop({}, within(graceMs)).then(({ problems }) => problems.map(named));
    const problems = await asked.catch((error: unknown) => (this.#hasExited ? [] : [named((error as Error).message)]));
    await this.link.close(LINK_GRACE_MS).catch(() => undefined);
    // With the link nothing holds it any more. Whatever does, has had its time.
    using _impatience = systemClock.after(EXIT_GRACE_MS, () => void this.worker.terminate());
    await this.exited;
    return problems;
  }

  get #hasExited(): boolean {
    return this.worker.threadId === -1;
  }
}

function reasonOf(number: number, thrown: unknown, code: number): Error {
  const why = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : `status ${code}`;
  return new DiptychError(
    'UNAVAILABLE',
    `thread ${number} ended by itself (${why}); what it had accepted is lost, the others answered theirs`,
    {
      cause: thrown,
    },
  );
}

function reportOf(error: unknown): HealthReport {
  return { ok: false, reasons: [error instanceof Error ? error.message : String(error)], checks: {} };
}

const START_TIMEOUT_MS = 600_000;
const ANSWER_TIMEOUT_MS = 1_000;
const LINK_GRACE_MS = 1_000;
const EXIT_GRACE_MS = 1_000;
