import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.mjs';
import { SetupProblem, say } from './problem.mjs';

/**
 * Whether node_modules holds what package-lock.json asks for. npm writes node_modules/.package-lock.json as its last step, so an install
 * that was interrupted counts as missing, and one made by hand (`npm install`) counts as done.
 *
 * @param {string} root
 */
export function packagesAreCurrent(root) {
  const wanted = packagesOf(join(root, 'package-lock.json'));
  const installed = packagesOf(join(root, 'node_modules/.package-lock.json'));
  if (!wanted) throw new SetupProblem('package-lock.json is missing or damaged: restore it from git.');
  if (!installed) return false;
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
  say('packages installed');
}

/** @typedef {{ version?: string, integrity?: string, resolved?: string, link?: boolean, optional?: boolean, devOptional?: boolean, peer?: boolean }} LockEntry */

/** @param {string} file @returns {Record<string, LockEntry> | undefined} */
function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}
