import { createServer } from 'node:net';
import type { Launcher } from './app-process.js';
import type { ProcessExit, RunningProcess } from './running-process.js';
import { startProcess } from './running-process.js';

export interface NatsServer extends AsyncDisposable {
  /** `nats://127.0.0.1:<port>`; stays the same over restarts. */
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  /** Of the process that runs now, or ran last: resolves when it is gone. */
  readonly exited: Promise<ProcessExit>;
  /** Sends a signal; with SIGKILL (the default) it waits until the process is gone, with SIGSTOP until it stands still. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Ends what runs, if it still does, and starts anew on the same port. */
  restart(): Promise<void>;
  /** Ends it for good. Safe to repeat. */
  stop(): Promise<void>;
}

/**
 * A real broker of this test alone, on a free port of the loopback interface. The program is `DIPTYCH_NATS_SERVER`, else
 * `nats-server` on the PATH.
 *
 * @param options.args further arguments, for example a configuration file
 * @throws Error with one sentence when there is no such program
 */
export async function startNatsServer(
  options: { args?: readonly string[]; port?: number; launcher?: Launcher | undefined } = {},
): Promise<NatsServer> {
  const { args = [], launcher = (command, args) => ({ command, args }) } = options;
  let port = options.port ?? (await freePort());
  let server: RunningProcess | undefined;
  // Between finding a free port and the broker's taking it someone else may; then another one is tried.
  for (let attempt = 1; !server; attempt++) {
    try {
      server = await run(port, args, launcher);
    } catch (error) {
      if (options.port !== undefined || attempt === 5 || !/address already in use/i.test(String(error))) throw error;
      port = await freePort();
    }
  }
  let current = server;
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    get pid() {
      return current.pid;
    },
    get exited() {
      return current.exited;
    },
    kill: (signal) => current.kill(signal),
    async restart() {
      await current.stop();
      current = await run(port, args, launcher);
    },
    async stop() {
      await current.stop();
    },
    async [Symbol.asyncDispose]() {
      await current.stop();
    },
  };
}

/** A port of the loopback interface that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port was given'))));
    });
  });
}

async function run(port: number, args: readonly string[], launcher: Launcher): Promise<RunningProcess> {
  const command = process.env['DIPTYCH_NATS_SERVER'] || 'nats-server';
  try {
    return await startProcess({
      ...launcher(command, ['-a', '127.0.0.1', '-p', String(port), ...args]),
      name: 'nats-server',
      ready: /Server is ready/,
    });
  } catch (error) {
    if ((error as { cause?: NodeJS.ErrnoException }).cause?.code !== 'ENOENT') throw error;
    throw new Error(`there is no ${command}: install nats-server, or name the program in DIPTYCH_NATS_SERVER`, { cause: error });
  }
}
