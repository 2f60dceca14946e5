// Checks Nx's own project graph against the layers: every edge must be allowed, declared in package.json, lead to no app, and close no
// cycle. ESLint sees each import; this sees what ESLint cannot, such as a dependency that is declared but never imported. It also writes
// the graph that ESLint's rule reads: without one, that rule is silently skipped.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Graph, Manifest } from './graph-errors.ts';
import { findGraphErrors } from './graph-errors.ts';

const errors = findGraphErrors(readGraph(), (root) => JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as Manifest);
for (const error of errors) console.error(error);
if (errors.length > 0) process.exit(1);

function readGraph(): Graph {
  const { status, stdout, stderr } = spawnSync('nx', ['graph', '--print'], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, NX_DAEMON: 'false' },
    shell: process.platform === 'win32',
  });
  // nx exits 0 with a partial graph when its analysis throws: never call that a pass.
  if (status !== 0 || /partial graph|threw an error/i.test(stdout.slice(0, 2000) + stderr)) {
    console.error(`nx could not make the whole project graph:\n${stdout.slice(0, 500)}\n${stderr.slice(0, 2000)}`);
    process.exit(2);
  }
  return (JSON.parse(stdout) as { graph: Graph }).graph;
}
