import { dirname, join } from 'node:path';
import { run } from './processes.mjs';
import { SetupProblem } from './problem.mjs';

const wantedMajor = 24;
const majorOf = (/** @type {string} */ version) => Number(/^v?(\d+)\./.exec(version)?.[1] ?? 0);
const current = majorOf(process.versions.node);
const packaged = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);

/** Says so before anything is downloaded when this machine will need a Node that no package brings. */
export function assertNodeCanBeHad() {
  if (!packaged && current < wantedMajor) throw needsNode();
}

/**
 * The folder of the Node that commands run on: the packaged one (node_modules/.bin/node), else the one that runs this, if it is new enough.
 * @param {string} root @returns {Promise<string>}
 */
export async function nodeFolder(root) {
  const bin = join(root, 'node_modules/.bin');
  if (packaged) {
    const { status, output } = await run(join(bin, 'node'), ['--version']);
    if (status === 0 && majorOf(output) >= wantedMajor) return bin;
  }
  if (current >= wantedMajor) return dirname(process.execPath);
  throw needsNode();
}

function needsNode() {
  const machine = `${process.platform}-${process.arch}`;
  return new SetupProblem(
    `Diptych runs on Node ${wantedMajor}, this is Node ${process.versions.node}, and there is no packaged one that runs on this machine (${machine}): install Node ${wantedMajor} or newer and try again.`,
  );
}
