import { defineConfig } from 'vitest/config';

// One seed for the whole run, printed at its start (tools/vitest/closing-line.ts) and handed to every worker.
const seed = (process.env.DIPTYCH_SEED ??= String(Math.trunc(Math.random() * 2 ** 31)));
const withContainers = process.env.DIPTYCH_CONTAINERS === '1';
const busyMachine = { testTimeout: 60_000, hookTimeout: 60_000 };

const project = (name: string, settings: object) => ({
  resolve: { conditions: ['@diptych/source'] },
  ssr: { resolve: { conditions: ['@diptych/source'] } },
  environments: { __vitest__: { resolve: { conditions: ['@diptych/source'], noExternal: [/^@diptych\//] } } }, // where a globalSetup runs
  test: { name, environment: 'node', env: { DIPTYCH_SEED: seed }, exclude: ['**/node_modules/**', '**/dist/**'], ...settings },
});

export default defineConfig({
  test: {
    reporters: ['default', './tools/vitest/closing-line.ts'],
    // The kinds run one after the other, in this order (group 0 would be special): what measures time or starts processes shall not
    // compete with everything else.
    projects: [
      project('unit', {
        include: ['{libs,apps,tools,e2e}/**/*.spec.ts'],
        sequence: { groupOrder: 1 },
        maxWorkers: '100%', // Vitest leaves one processor idle, which on two is half of them
        ...busyMachine,
      }),
      project('integration', { include: ['{libs,apps,tools,e2e}/**/*.int-spec.ts'], sequence: { groupOrder: 2 }, ...busyMachine }),
      project('e2e', {
        include: ['e2e/**/*.e2e-spec.ts'],
        sequence: { groupOrder: 3 },
        globalSetup: ['./tools/vitest/build-first.ts'],
        ...busyMachine,
        fileParallelism: false,
      }),
      ...(withContainers
        ? [
            project('containers', {
              include: ['{e2e,tools}/**/*.container-spec.ts'],
              sequence: { groupOrder: 4 },
              globalSetup: ['./e2e/containers/support/panels-setup.ts'],
              testTimeout: 240_000,
              hookTimeout: 240_000,
              fileParallelism: false,
            }),
          ]
        : []),
    ],
  },
});
