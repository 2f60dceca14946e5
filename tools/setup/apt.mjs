import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.mjs';
import { say } from './problem.mjs';

/**
 * Gets packages with apt into a folder of its own, unpacks them, and lets `take` have what it wants of them; nothing is installed.
 *
 * @param {string} root @param {string[]} fetch what to ask apt-get for @param {(unpacked: string) => string | undefined} take answers what went wrong, if anything
 * @returns {Promise<string | undefined>} what went wrong, if anything
 */
export async function withUnpacked(root, fetch, take) {
  mkdirSync(join(root, '.setup/bin'), { recursive: true });
  const work = mkdtempSync(join(root, '.setup/apt-'));
  try {
    for (const folder of ['lists/partial', 'cache/archives/partial', 'unpacked']) mkdirSync(join(work, folder), { recursive: true });
    const settings = [
      `Dir::State::lists=${work}/lists`,
      `Dir::Cache=${work}/cache`,
      'Debug::NoLocking=true', // what is looked at is the machine's, and nothing of it is changed
      'Acquire::Retries=2',
      'Acquire::http::Timeout=30',
      'Acquire::Languages=none',
    ];
    // apt as root downloads as another user, who may not enter this folder.
    if (process.getuid?.() === 0) settings.push('APT::Sandbox::User=root');
    const own = settings.flatMap((setting) => ['-o', setting]);
    const options = { cwd: work, ...ticking('apt-get') };
    // The lists of the machine may be old or missing, and renewing those takes root; so it reads its own.
    const failure =
      failureOf(await run('apt-get', [...own, '-q', 'update'], options)) ??
      failureOf(await run('apt-get', [...own, '-q', ...fetch], options));
    const archives = ['.', 'cache/archives'].flatMap((folder) =>
      readdirSync(join(work, folder)).flatMap((file) => (file.endsWith('.deb') ? join(folder, file) : [])),
    );
    if (failure || archives.length === 0) return failure ?? 'apt-get downloaded nothing';
    for (const archive of archives) {
      const unpacked = failureOf(await run('dpkg-deb', ['-x', archive, 'unpacked'], options));
      if (unpacked) return unpacked;
    }
    return take(join(work, 'unpacked'));
  } finally {
    if (existsSync(work)) rmSync(work, { recursive: true, force: true });
  }
}

export const ticking = (/** @type {string} */ tool) => ({
  timeoutMs: 300_000,
  onTick: (/** @type {number} */ seconds) => say(`${tool}: ${seconds} s`),
});

export const failureOf = (/** @type {{ status: number, output: string }} */ { status, output }) =>
  status === 0 ? undefined : output || `status ${status}`;
