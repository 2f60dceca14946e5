import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { beforeAll, describe, expect, it } from 'vitest';
import { fixture } from './fixture.ts';
import type { Graph } from './graph-errors.ts';
import { findGraphErrors } from './graph-errors.ts';

// The lab comes last; until its folder is here, Nx has no project to hold its imports against.
const imports = fixture.filter(({ file }) => existsSync(file.replace(/src\/.*/, 'package.json')));
const rules = ['@nx/enforce-module-boundaries', '@typescript-eslint/no-restricted-imports'];

describe('imports against the layers', () => {
  let eslint: ESLint;
  beforeAll(() => {
    // ESLint's rule reads the graph that Nx last wrote; without one it lets everything pass.
    expect(spawnSync('nx', ['graph', '--print'], { env: { ...process.env, NX_DAEMON: 'false' }, maxBuffer: 1 << 28 }).status).toBe(0);
    // The files of the fixture do not exist, so that no rule can ask for their types.
    eslint = new ESLint({ overrideConfig: [tseslint.configs.disableTypeChecked], ruleFilter: ({ ruleId }) => rules.includes(ruleId) });
  });

  it.each(imports.filter(({ refused }) => refused))('refuses in $file: $code', async ({ file, code, refused }) => {
    const messages = await lint(eslint, file, code);
    expect(messages.join('\n')).toMatch(refused ?? /./);
  });

  it.each(imports.filter(({ refused }) => !refused))('allows in $file: $code', async ({ file, code }) => {
    expect(await lint(eslint, file, code)).toEqual([]);
  });
});

describe('the project graph against the layers', () => {
  const dependsOnAllOthers = { dependencies: { '@x/a': '*', '@x/b': '*' } };
  const errorsOf = (tagsOfA: string[], tagsOfB: string[], edges: Graph['dependencies'], manifest: object = dependsOnAllOthers) =>
    findGraphErrors(
      {
        nodes: { a: { type: 'lib', data: { root: 'a', tags: tagsOfA } }, b: { type: 'lib', data: { root: 'b', tags: tagsOfB } } },
        dependencies: edges,
      },
      (root) => ({ name: `@x/${root}`, ...manifest }),
    );
  const edge = (target: string) => [{ target, type: 'static' }];

  it('accepts an import down the layers', () => {
    expect(errorsOf(['layer:domain'], ['layer:kernel'], { a: edge('b'), b: [] })).toEqual([]);
  });
  it('refuses an import up the layers', () => {
    expect(errorsOf(['layer:kernel'], ['layer:domain'], { a: edge('b'), b: [] })).toEqual([
      'a imports b: layer:kernel may import only layer:kernel, layer:testing.',
    ]);
  });
  it('refuses what is used and not declared', () => {
    expect(errorsOf(['layer:domain'], ['layer:kernel'], { a: edge('b') }, {})).toEqual([
      'a uses @x/b and does not declare it in a/package.json.',
    ]);
  });
  it('refuses a project without a layer', () => {
    expect(errorsOf([], ['layer:kernel'], { a: [] })).toEqual([expect.stringContaining('a has no layer')]);
  });
  it('refuses a circle', () => {
    expect(errorsOf(['layer:kernel'], ['layer:kernel'], { a: edge('b'), b: edge('a') })).toEqual([expect.stringContaining('a -> b -> a')]);
  });
});

async function lint(eslint: ESLint, file: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: file });
  return (result?.messages ?? []).map(({ message }) => message);
}
