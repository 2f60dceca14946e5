import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { systemClock } from '@diptych/kernel';
import { reapProcess } from './reaper.js';
import { untilStopped } from './stopped.js';

export interface ProcessOptions {
  readonly command: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  /** The whole environment. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv;
  /** Ready when a pattern matches what was written so far, or when the function answers true. Default: as soon as it runs. */
  readonly ready?: RegExp | (() => boolean | Promise<boolean>);
  /** Default 60,000: a bound for hangs, no expectation. */
  readonly readyTimeoutMs?: number;
  /** What is kept of stdout and of stderr each, the newest of it. Default 1 MiB. */
  readonly outputCharsMax?: number;
  /** Names the process in errors. Default: the command. */
  readonly name?: string;
  /** Opens a channel between it and this process, for Node's structured messages. Default: none. */
  readonly channel?: boolean;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A child process that a test started, and that is ended with the test: by `stop`, `await using`, or when the runner has ended. */
export interface RunningProcess extends AsyncDisposable {
  readonly pid: number;
  /** What it wrote so far: the newest `outputCharsMax` characters of each. */
  readonly stdout: string;
  readonly stderr: string;
  /** Undefined while it runs. */
  readonly exit: ProcessExit | undefined;
  /** Resolves when it is gone and its output is read. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  /**
   * Sends a message over its channel, and resolves with the next one that comes from it.
   *
   * @throws Error with the end of its output when it has no channel, or ends before it answers
   */
  ask(message: object): Promise<unknown>;
  /**
   * Sends a signal, by process id. With SIGKILL (the default) it waits until the process is gone, with SIGSTOP until it stands still. No
   * effect once it is gone.
   */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** SIGTERM, then SIGKILL after `graceMs` (default 5,000). Safe to repeat. */
  stop(graceMs?: number): Promise<ProcessExit>;
}

/**
 * Starts a process and waits until it is ready.
 *
 * @throws Error with the end of its output when it exits, or is not ready, in time; it is killed then
 */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  const child = new Child(options);
  try {
    await child.untilReady();
    return child;
  } catch (error) {
    await child.kill('SIGKILL');
    throw error;
  }
}

class Child implements RunningProcess {
  readonly exited: Promise<ProcessExit>;
  stdout = '';
  stderr = '';
  exit: ProcessExit | undefined;
  readonly #child: ChildProcess;
  readonly #options: ProcessOptions;
  #failure: Error | undefined;
  #lookAgain: () => void = () => undefined;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#child = spawn(options.command, options.args ?? [], {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: options.channel ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
      serialization: 'advanced',
    });
    const reaping = this.#child.pid === undefined ? undefined : reapProcess(this.#child.pid);
    this.#child.on('error', (error) => (this.#failure = error));
    this.#collect('stdout');
    this.#collect('stderr');
    this.exited = new Promise((resolve) => {
      // A process that could not be spawned emits only 'error', and no 'exit'.
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        this.exit = { code, signal };
        reaping?.[Symbol.dispose]();
        this.#lookAgain();
        resolve(this.exit);
      };
      this.#child.once('close', end);
      this.#child.once('error', () => this.#child.pid === undefined && end(null, null));
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async untilReady(): Promise<void> {
    const { ready, readyTimeoutMs = 60_000 } = this.#options;
    const endMs = systemClock.nowMs() + readyTimeoutMs;
    for (;;) {
      if (this.#failure) throw new Error(`${this.#name} could not be started: ${this.#failure.message}`, { cause: this.#failure });
      if (this.exit) throw this.#error(`exited (code ${this.exit.code}, signal ${this.exit.signal}) before it was ready`);
      const written = `${this.stdout}\n${this.stderr}`;
      if (ready instanceof RegExp ? ready.test(written) : ready ? await ready() : this.#child.pid !== undefined) return;
      if (systemClock.nowMs() >= endMs) throw this.#error(`was not ready within ${readyTimeoutMs} ms`);
      await this.#outputOrTick();
    }
  }

  async ask(message: object): Promise<unknown> {
    if (!this.#child.connected) throw this.#error('has no channel');
    let answered!: (answer: unknown) => void;
    const answer = new Promise<unknown>((resolve) => this.#child.once('message', (answered = resolve)));
    this.#child.send(message);
    const ended = Symbol('ended');
    const first = await Promise.race([answer, this.exited.then(() => ended)]);
    this.#child.off('message', answered);
    if (first === ended) throw this.#error(`exited (code ${this.exit?.code}, signal ${this.exit?.signal}) before it answered`);
    return first;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.exit || this.#child.pid === undefined) return;
    this.#child.kill(signal);
    if (signal === 'SIGKILL') await this.exited;
    if (signal === 'SIGSTOP') await Promise.race([untilStopped(this.pid), this.exited]);
  }

  async stop(graceMs = 5_000): Promise<ProcessExit> {
    if (this.exit) return this.exit;
    // A stopped process acts on SIGTERM only once it continues.
    this.#child.kill('SIGTERM');
    this.#child.kill('SIGCONT');
    const timer = systemClock.after(graceMs, () => this.#child.kill('SIGKILL'));
    const exit = await this.exited;
    timer[Symbol.dispose]();
    return exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  get #name(): string {
    return this.#options.name ?? this.#options.command;
  }

  #error(what: string): Error {
    return new Error(`${this.#name} ${what}; its output ends with:\n${`${this.stdout}${this.stderr}`.slice(-2_000)}`);
  }

  #collect(stream: 'stdout' | 'stderr'): void {
    const charsMax = this.#options.outputCharsMax ?? 1_048_576;
    this.#child[stream]!.setEncoding('utf8').on('data', (text: string) => {
      const all = this[stream] + text;
      this[stream] = all.length > charsMax ? all.slice(-charsMax) : all;
      this.#lookAgain();
    });
  }

  async #outputOrTick(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = systemClock.after(20, resolve);
      this.#lookAgain = () => (timer[Symbol.dispose](), resolve());
    });
  }
}
