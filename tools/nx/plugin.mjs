// Local Nx plugin: every workspace package with src/ gets the same targets. No @nx/* package needed.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const name = 'diptych-targets';
export const createNodes = [
  '{apps,libs}/*/package.json',
  (files, _opts, ctx) =>
    files.map((file) => {
      const root = dirname(file);
      const abs = join(ctx.workspaceRoot, root);
      if (!existsSync(join(abs, 'tsconfig.json'))) return [file, {}];
      const targets = {
        build: {
          command: 'tsc -b {projectRoot}',
          dependsOn: ['^build'],
          cache: true,
          inputs: ['prod', '^prod', 'toolchain'],
          outputs: ['{projectRoot}/dist'],
        },
        test: {
          command: 'vitest run --project {projectName}',
          cache: true,
          inputs: ['default', '^prod', 'toolchain'],
        },
      };
      if (existsSync(join(abs, 'src/main.ts')))
        targets.serve = {
          command: 'tsx watch --tsconfig tsconfig.base.json --conditions=@diptych/source {projectRoot}/src/main.ts',
          continuous: true,
          cache: false,
        };
      return [file, { projects: { [root]: { targets, projectType: root.startsWith('apps/') ? 'application' : 'library' } } }];
    }),
];
export const createNodesV2 = createNodes;
