import { fileURLToPath } from 'node:url';
import { startProcess, type ProcessExit } from './running-process.js';

/** A process of the built system that says it is ready. */
export interface AppProcess {
  readonly name: string;
  readonly pid: number;
  /** As its ready line gives it. */
  readonly url: string;
  readonly port: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly exited: Promise<ProcessExit>;
  /** Sends a signal; with SIGKILL (the default) it waits until the process is gone, with SIGSTOP until it stands still. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** SIGTERM, and SIGKILL when it has not ended in 20 s. */
  stop(): Promise<ProcessExit>;
}

export interface AppStart {
  readonly name: string;
  /** From the root of the workspace. */
  readonly main: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly launcher?: Launcher | undefined;
}

/** Puts something in front of a command that has to be the same process in the end, `taskset` for example. */
export type Launcher = (command: string, args: readonly string[]) => { command: string; args: readonly string[] };

/** Without a slash at its end. */
export const WORKSPACE = fileURLToPath(new URL('../../../', import.meta.url)).replace(/[\\/]$/, '');

const READY = /"event":"ready".*?"url":"(http:[^"]+)"|"url":"(http:[^"]+)".*?"event":"ready"/;
/**
 * For hangs only. A start takes a fixed amount of processor time, 3 to 4 s of it for a monolith of several threads; what it takes by the clock is up to the
 * machine: 9 to 54 s in 51 restarts on two cores with 18 to 37 others that wanted them.
 */
const READY_TIMEOUT_MS = 180_000;

/** @throws Error with the end of its output when it does not become ready */
export async function startApp(start: AppStart): Promise<AppProcess> {
  const running = await startProcess({ ...commandOf(start), name: start.name, ready: READY, readyTimeoutMs: READY_TIMEOUT_MS });
  const match = READY.exec(running.stdout)!;
  const url = (match[1] ?? match[2])!;
  return {
    name: start.name,
    pid: running.pid,
    url,
    port: Number(new URL(url).port),
    get stdout() {
      return running.stdout;
    },
    get stderr() {
      return running.stderr;
    },
    exited: running.exited,
    kill: (signal) => running.kill(signal),
    stop: () => running.stop(60_000),
  };
}

/** Runs an app that is expected to refuse to start. @throws Error when it still runs after three minutes */
export async function runToItsEnd(start: AppStart): Promise<{ exit: ProcessExit; stdout: string; stderr: string }> {
  await using running = await startProcess({ ...commandOf(start), name: start.name });
  const exit = await Promise.race([running.exited, late(READY_TIMEOUT_MS)]);
  if (!exit) throw new Error(`${start.name} still runs after ${READY_TIMEOUT_MS} ms; it wrote ${running.stdout}${running.stderr}`);
  return { exit, stdout: running.stdout, stderr: running.stderr };
}

function commandOf({ main, variables, launcher }: AppStart): {
  command: string;
  args: readonly string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
} {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('DIPTYCH_') && !name.startsWith('VITEST') && name !== 'NODE_OPTIONS',
  );
  return {
    ...(launcher ?? asItIs)(process.execPath, [main]),
    cwd: WORKSPACE,
    env: { ...Object.fromEntries(inherited), NODE_ENV: 'production', ...variables },
  };
}

const asItIs: Launcher = (command, args) => ({ command, args });

function late(timeoutMs: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, timeoutMs, undefined).unref());
}
