import { run } from './processes.mjs';

/**
 * Whether a Docker engine answers, asked with the user's own docker command, so that contexts and DOCKER_HOST count.
 * @returns {Promise<string | undefined>} undefined when it answers, else why not, in a few words
 */
export async function whyNoDockerEngine() {
  const { status, output } = await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeoutMs: 10_000 });
  if (status === 0) return undefined;
  return status === 127 ? 'there is no docker command' : `no Docker engine answers${output.includes('permission denied') ? ' this user' : ''}`;
}
