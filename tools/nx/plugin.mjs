// Local Nx plugin: every workspace package gets the same targets, from what is in its folder. No @nx/* package needed.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { serveCommand } from './serve-command.mjs';

export const name = 'diptych-targets';

/** @type {import('nx/src/devkit-exports').CreateNodes} */
export const createNodes = [
  '{{apps,libs,tools}/*,e2e}/package.json',
  (files, _options, { workspaceRoot }) => files.map((file) => [file, nodeOf(dirname(file), workspaceRoot)]),
];
export const createNodesV2 = createNodes;

/**
 * By the project that each is named after: its name, and what of `docker compose` builds it. All four apps are one image.
 *
 * @type {Record<string, { name: string, build: string } | undefined>}
 */
const IMAGES = {
  'apps/monolith': { name: 'diptych:local', build: 'build monolith' },
  'tools/lab': { name: 'diptych-lab:local', build: 'build lab' },
  'tools/fault-proxy': {
    name: 'diptych-fault-proxy:local',
    build: '--file docker-compose.yml --file e2e/containers/compose.faults.yml build faults',
  },
};

/** @param {string} root @param {string} workspaceRoot @returns {import('nx/src/devkit-exports').CreateNodesResult} */
function nodeOf(root, workspaceRoot) {
  const has = (/** @type {string} */ path) => existsSync(join(workspaceRoot, root, path));
  const [kind, app] = root.split('/');
  /** @type {Record<string, import('nx/src/devkit-exports').TargetConfiguration>} */
  const targets = {
    // The tests of the whole repository run at once with `npm test`; this is for `nx affected -t test`.
    test: {
      command: 'vitest run {projectRoot}/ --passWithNoTests',
      dependsOn: ['^build', 'build'],
      cache: true,
      inputs: ['default', '^prod', 'toolchain'],
    },
  };
  if (has('tsconfig.json')) {
    targets.build = {
      command: kind === 'apps' ? `tsc -b {projectRoot} && node tools/nx/bundle.mjs ${app}` : 'tsc -b {projectRoot}',
      dependsOn: ['^build'],
      cache: true,
      inputs: ['prod', '^prod', 'toolchain'],
      outputs: ['{projectRoot}/dist'],
    };
  }
  const image = IMAGES[root];
  if (image)
    targets.image = {
      command: `docker compose ${image.build}`,
      cache: true,
      inputs: [
        ...['Dockerfile', '.dockerignore', 'docker-compose.yml', 'package-lock.json', 'tsconfig.base.json'].map(
          (file) => `{workspaceRoot}/${file}`,
        ),
        ...['apps', 'libs', 'tools'].map((folder) => `{workspaceRoot}/${folder}/**/*`),
        ...['NODE_IMAGE', 'NATS_IMAGE'].map((env) => ({ env })),
        // An image that somebody took away is built again.
        { runtime: `docker image inspect --format {{.Id}} ${image.name} || true` },
      ],
    };
  if (kind === 'apps' && app && has('src/main.ts'))
    targets.serve = { command: serveCommand(app).join(' '), continuous: true, cache: false };
  return {
    projects: {
      [root]: {
        targets,
        projectType: kind === 'apps' ? 'application' : 'library',
        // The end-to-end tests start the apps as programs, which no import shows.
        implicitDependencies: kind === 'e2e' ? readdirSync(join(workspaceRoot, 'apps')) : [],
      },
    },
  };
}
