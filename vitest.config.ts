import { defineConfig } from 'vitest/config';
import { existsSync, readFileSync, readdirSync } from 'node:fs';

const roots = ['libs', 'apps'].flatMap((d) => readdirSync(d).map((n) => `${d}/${n}`)).filter((p) => existsSync(`${p}/src`));
export default defineConfig({
  test: {
    reporters: ['default', './tools/closing-line.ts'],
    projects: roots.map((root) => ({
      root,
      resolve: { conditions: ['@diptych/source'] },
      ssr: { resolve: { conditions: ['@diptych/source'] } },
      test: {
        name: JSON.parse(readFileSync(`${root}/package.json`, 'utf8')).name,
        environment: 'node',
        include: ['src/**/*.spec.ts'],
      },
    })),
    passWithNoTests: true,
  },
});
