import { spawnSync } from 'node:child_process';

/**
 * Whether a Docker engine answers, asked with the user's own docker command, so that contexts and DOCKER_HOST count.
 * @returns {string | undefined} undefined when it answers, else why not, in a few words
 */
export function whyNoDockerEngine() {
  const { status, error, stderr } = spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (status === 0) return undefined;
  if (error && 'code' in error && error.code === 'ENOENT') return 'there is no docker command here';
  return stderr.includes('permission denied') ? 'this user may not speak to the Docker engine' : 'no Docker engine answers';
}
