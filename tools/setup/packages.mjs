import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.mjs';
import { SetupProblem, say } from './problem.mjs';

const stamp = 'node_modules/.installed-from';

/**
 * Whether node_modules holds what package-lock.json asks for: because `installPackages` put it there, or because what npm noted of an install
 * by hand says so. npm writes that note (node_modules/.package-lock.json) as its last step, so an interrupted install counts as none.
 *
 * @param {string} root
 */
export function packagesAreCurrent(root) {
  const lock = readIfThere(join(root, 'package-lock.json'));
  const wanted = packagesOf(lock);
  const installed = packagesOf(readIfThere(join(root, 'node_modules/.package-lock.json')));
  if (!wanted) throw new SetupProblem('package-lock.json is missing or damaged: restore it from git.');
  if (!installed) return false;
  if (readIfThere(join(root, stamp)) === digest(lock)) return true;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes('node_modules/')) return true; // the workspaces themselves
    const found = installed[path];
    if (!found) return entry.optional === true || entry.devOptional === true || entry.peer === true;
    return entry.link ? found.resolved === entry.resolved : found.version === entry.version && found.integrity === entry.integrity;
  });
}

/** Installs exactly what package-lock.json says. Safe to repeat, also after it was interrupted. @param {string} root */
export async function installPackages(root) {
  say('installing the packages (once; about half a minute)');
  const args = ['ci', '--no-audit', '--no-fund', '--no-progress', '--loglevel=error'];
  const digestBefore = digest(readIfThere(join(root, 'package-lock.json')));
  rmSync(join(root, stamp), { force: true });
  const npm = process.env.npm_execpath; // set when npm started this process; the same npm then, whatever PATH says
  const options = { cwd: root, onTick: (/** @type {number} */ seconds) => say(`installing the packages: ${seconds} s`) };
  const { status, output } =
    npm && existsSync(npm) && npm.endsWith('.js') ? await run(process.execPath, [npm, ...args], options) : await run('npm', args, options);
  if (status !== 0) {
    throw new SetupProblem(
      `npm could not install the packages (status ${status}); what it said is above, and the command can simply be run again.`,
      {
        cause: output,
      },
    );
  }
  writeFileSync(join(root, stamp), digestBefore);
  say('packages installed');
}

/** @typedef {{ version?: string, integrity?: string, resolved?: string, link?: boolean, optional?: boolean, devOptional?: boolean, peer?: boolean }} LockEntry */

/** @param {string} text @returns {Record<string, LockEntry> | undefined} */
function packagesOf(text) {
  try {
    return JSON.parse(text).packages;
  } catch {
    return undefined;
  }
}

/** @param {string} file */
function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

const digest = (/** @type {string} */ text) => createHash('sha256').update(text).digest('hex');
