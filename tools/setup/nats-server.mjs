import { copyFileSync, existsSync, renameSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { failureOf, ticking, withUnpacked } from './apt.mjs';
import { run } from './processes.mjs';
import { SetupProblem, say } from './problem.mjs';

/**
 * The path of a nats-server that runs: the one the user names in DIPTYCH_NATS_SERVER, else one on PATH (or where Debian puts it, which is
 * not on every user's PATH), else the one that `installNatsServer` brought.
 *
 * @param {string} root @returns {Promise<string | undefined>} undefined when there is none
 */
export async function findNatsServer(root) {
  const named = process.env.DIPTYCH_NATS_SERVER;
  if (named) {
    if (await runs(named)) return named;
    throw new SetupProblem(`DIPTYCH_NATS_SERVER names ${named}, which does not run as a nats-server: correct it or unset it.`);
  }
  const file = process.platform === 'win32' ? 'nats-server.exe' : 'nats-server';
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/opt/homebrew/bin', '/usr/local/bin'];
  for (const candidate of [...folders.filter(Boolean).map((folder) => join(folder, file)), ownCopy(root)]) {
    if (existsSync(candidate) && (await runs(candidate))) return candidate;
  }
  return undefined;
}

/**
 * Brings a nats-server with the system's package manager. Safe to repeat.
 * @param {string} root @returns {Promise<string>} its path
 */
export async function installNatsServer(root) {
  for (const way of ways) {
    if (!(await has(way.tool))) continue;
    say(`nats-server is not here: getting it with ${way.tool} (once)`);
    const failure = await way.bring(root);
    const found = await findNatsServer(root);
    if (found) {
      say(`nats-server is at ${found}`);
      return found;
    }
    throw needsNatsServer(`${way.tool} could not bring it${failure ? ` (${lastLine(failure)})` : ''}`);
  }
  throw needsNatsServer('no package manager known here could bring it');
}

/** @typedef {{ tool: string, bring: (root: string) => Promise<string | undefined> }} Way  `bring` answers what went wrong, if anything */
/** @type {Way[]} */
const ways = [
  { tool: 'apt-get', bring: unpackFromApt },
  { tool: 'apk', bring: () => asRoot('apk', ['add', '--no-cache', 'nats-server']) },
  { tool: 'dnf', bring: () => asRoot('dnf', ['install', '-y', 'nats-server']) },
  { tool: 'zypper', bring: () => asRoot('zypper', ['--non-interactive', 'install', 'nats-server']) },
  { tool: 'pacman', bring: () => asRoot('pacman', ['-S', '--noconfirm', 'nats-server']) },
  { tool: 'brew', bring: async () => failureOf(await run('brew', ['install', 'nats-server'], ticking('brew'))) },
];

/**
 * Debian's package, unpacked beside the repository's own files instead of installed: that needs no root, and does not leave a broker
 * running on port 4222, which is what installing it does on a machine with systemd.
 *
 * @param {string} root @returns {Promise<string | undefined>}
 */
function unpackFromApt(root) {
  return withUnpacked(root, ['download', 'nats-server'], (unpacked) => {
    const binary = ['usr/sbin', 'usr/bin'].map((folder) => join(unpacked, folder, 'nats-server')).find((path) => existsSync(path));
    if (!binary) return 'its package holds no nats-server';
    copyFileSync(binary, `${ownCopy(root)}.new`);
    renameSync(`${ownCopy(root)}.new`, ownCopy(root));
    return undefined;
  });
}

/** @param {string} program @param {string[]} args */
async function asRoot(program, args) {
  if (process.getuid?.() === 0) return failureOf(await run(program, args, ticking(program)));
  if ((await run('sudo', ['-n', 'true'])).status !== 0) return 'it needs root';
  return failureOf(await run('sudo', ['-n', program, ...args], ticking(program)));
}

const ownCopy = (/** @type {string} */ root) => join(root, '.setup/bin/nats-server');
const lastLine = (/** @type {string} */ text) => text.trim().split('\n').at(-1) ?? '';

/** @param {string} program */
async function runs(program) {
  const { status, output } = await run(program, ['--version'], { timeoutMs: 10_000 });
  return status === 0 && output.includes('nats-server');
}

/** @param {string} tool */
async function has(tool) {
  return process.platform !== 'win32' && (await run(tool, ['--version'], { timeoutMs: 10_000 })).status === 0;
}

/** @param {string} why */
function needsNatsServer(why) {
  return new SetupProblem(
    `nats-server is not on this machine and ${why}: install nats-server 2.9 or newer (Debian: apt-get install nats-server, macOS: brew install nats-server, elsewhere: the download page of nats.io), put it on PATH or name it in DIPTYCH_NATS_SERVER, and try again.`,
  );
}
