import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { serveCommand } from '../nx/serve-command.mjs';

const graceMs = 15_000;

/** What is being served, oldest first, and how it ends: all of it, newest first, so that nobody loses what it still needs for its drain. */
export class Serving {
  readonly #stops: (() => Promise<void>)[] = [];
  #stopping = false;

  constructor() {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void this.stop(0));
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** What comes while all is being stopped is stopped at once. */
  own(stop: () => Promise<void>): void {
    if (this.#stopping) void stop();
    else this.#stops.push(stop);
  }

  async stop(exitCode: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    for (const each of this.#stops.reverse()) await each();
    process.exitCode = exitCode;
  }

  /** An app from source, with restart on change. `print` gets each line it writes, the last ones of its stop included. */
  app(app: string, env: NodeJS.ProcessEnv, print: (line: string) => void): void {
    const [program = '', ...args] = serveCommand(app);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', print);
    child.once('error', (error) => print(error.message));
    child.once('exit', (status) => this.#stopping || this.endedByItself(print, status));
    this.own(() => stop(child));
  }

  endedByItself(print: (line: string) => void, status: number | null): void {
    print(`ended by itself with status ${status}; stopping`);
    void this.stop(1);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill('SIGTERM');
  const impatient = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await once(child, 'exit');
  clearTimeout(impatient);
}
