import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface Package {
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
}

it.each(['kernel', 'messaging'])('the archive of %s that another application takes holds what is imported from it', (name) => {
  // What git ignores npm leaves out, unless it is named.
  const { files, exports } = JSON.parse(readFileSync(new URL(`../../${name}/package.json`, import.meta.url), 'utf8')) as Package;
  const imported = Object.values(exports).flatMap((entry) => [entry.types, entry.default]);
  expect(imported.filter((path) => !files.includes(path.split('/')[1]!))).toEqual([]);
});
