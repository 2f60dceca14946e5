import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { systemClock } from '@diptych/kernel';
import { WORKSPACE } from '@diptych/testing';

/** Runs `docker` with these arguments and gives back what it wrote; made up in the driver's own test. @throws Error with what it complained of, or that it took too long */
export type Docker = (args: readonly string[], variables?: Readonly<Record<string, string>>) => Promise<string>;

/** The engine of this machine. In a process group of its own, so that Ctrl-C ends the lab and not what cleans up after it. */
export const docker: Docker = (args, variables) => dockerWithin(DOCKER_MS_MAX, args, variables);

/** For hangs only. To stop a container may take its 30 s, to start a dozen on a busy machine minutes. */
const DOCKER_MS_MAX = 600_000;

/** As `docker`, ended when it takes longer. */
export async function dockerWithin(
  timeoutMs: number,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = spawn('docker', args, {
    cwd: WORKSPACE,
    env: { ...process.env, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  // Its children hold its pipes: without them it would be waited for as long as they run.
  let isLate = false;
  using _late = systemClock.after(timeoutMs, () => {
    isLate = true;
    if (child.pid !== undefined) killGroup(child.pid);
  });
  const written = { out: '', complaints: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.complaints += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (isLate) throw new Error(`docker ${args.join(' ')}: not done within ${timeoutMs / 1000} s`);
  if (code !== 0) throw new Error(`docker ${args.join(' ')}: ${written.complaints.trim()}`);
  return written.out;
}

/** Of a child that leads a group of its own. */
function killGroup(pid: number): void {
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** Why there is none, if so: asked before anything is started. */
export async function whyNoEngine(): Promise<string | undefined> {
  try {
    await dockerWithin(30_000, ['version']);
    return undefined;
  } catch (error) {
    return `there is no container engine: ${error instanceof Error ? error.message : String(error)}`;
  }
}
