import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { WORKSPACE } from '@diptych/testing';

/** Runs `docker` with these arguments and gives back what it wrote; made up in the driver's own test. @throws Error with what it complained of */
export type Docker = (args: readonly string[], variables?: Readonly<Record<string, string>>) => Promise<string>;

/** The engine of this machine. In a process group of its own, so that Ctrl-C ends the lab and not what cleans up after it. */
export const docker: Docker = async (args, variables = {}) => {
  const child = spawn('docker', args, {
    cwd: WORKSPACE,
    env: { ...process.env, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const written = { out: '', complaints: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.complaints += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`docker ${args.join(' ')}: ${written.complaints.trim()}`);
  return written.out;
};

/** Why there is none, if so: asked before anything is started. */
export async function whyNoEngine(): Promise<string | undefined> {
  try {
    await docker(['version']);
    return undefined;
  } catch (error) {
    return `there is no container engine: ${error instanceof Error ? error.message : String(error)}`;
  }
}
