import { spawnSync } from 'node:child_process';

/**
 * End-to-end tests run what is shipped: the compiled apps. Builds them before the first such test; what is unchanged comes from the cache.
 */
export default function buildFirst(): void {
  const { status, stdout, stderr } = spawnSync('nx', ['run-many', '-t', 'build', '-p', 'monolith,gateway,cache,log,e2e'], {
    encoding: 'utf8',
    env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false' },
    shell: process.platform === 'win32',
  });
  if (status !== 0) throw new Error(`The end-to-end tests need the apps built, and the build failed:\n${stdout}${stderr}`);
}
