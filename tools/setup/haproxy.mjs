import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withUnpacked } from './apt.mjs';
import { SetupProblem, say } from './problem.mjs';
import { run } from './processes.mjs';

/**
 * A haproxy that runs: the one the user names in DIPTYCH_HAPROXY, else the machine's, else the one that `installHaproxy` brought.
 *
 * @param {string} root @returns {Promise<string | undefined>} undefined when there is none
 */
export async function findHaproxy(root) {
  const named = process.env.DIPTYCH_HAPROXY;
  if (named && !(await runs(named)))
    throw new SetupProblem(`DIPTYCH_HAPROXY names ${named}, which does not run as a haproxy: correct it or unset it.`);
  for (const candidate of [named, 'haproxy', '/usr/sbin/haproxy', ownCopy(root)])
    if (candidate && (await runs(candidate))) return candidate;
  return undefined;
}

/**
 * Brings a haproxy where Debian's packages are to be had: unpacked, not installed, with the libraries that it wants and the machine lacks. Safe to repeat.
 * @param {string} root @returns {Promise<string>} its path @throws SetupProblem where it cannot be had
 */
export async function installHaproxy(root) {
  if ((await run('apt-get', ['--version'], { timeoutMs: 10_000 })).status !== 0)
    throw needsHaproxy('only apt-get is known here to bring it');
  say('haproxy is not here: getting it with apt-get (once)');
  const fetch = ['install', '--download-only', '--yes', '--no-install-recommends', 'haproxy'];
  const failure = await withUnpacked(root, fetch, (unpacked) => {
    if (!existsSync(join(unpacked, 'usr/sbin/haproxy'))) return 'its package holds no haproxy';
    rmSync(folder(root), { recursive: true, force: true });
    renameSync(unpacked, folder(root));
    writeFileSync(ownCopy(root), WRAPPER, { mode: 0o755 });
    return undefined;
  });
  const found = await findHaproxy(root);
  if (!found) throw needsHaproxy(`apt-get could not bring it${failure ? ` (${failure.trim().split('\n').at(-1)})` : ''}`);
  say(`haproxy is at ${found}`);
  return found;
}

/** The same process in the end, with the libraries that came with it. */
const WRAPPER = `#!/bin/sh
here=$(dirname "$0")/../haproxy
for folder in "$here"/usr/lib/*-linux-gnu*; do LD_LIBRARY_PATH="$folder\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; done
export LD_LIBRARY_PATH
exec "$here/usr/sbin/haproxy" "$@"
`;

const folder = (/** @type {string} */ root) => join(root, '.setup/haproxy');
const ownCopy = (/** @type {string} */ root) => join(root, '.setup/bin/haproxy');

/** @param {string} program */
async function runs(program) {
  const { status, output } = await run(program, ['-v'], { timeoutMs: 10_000 });
  return status === 0 && /haproxy/i.test(output);
}

/** @param {string} why */
function needsHaproxy(why) {
  return new SetupProblem(
    `haproxy is not on this machine and ${why}: install haproxy 2.6 or newer (Debian: apt-get install haproxy), put it on PATH or name it in DIPTYCH_HAPROXY, and try again.`,
  );
}
