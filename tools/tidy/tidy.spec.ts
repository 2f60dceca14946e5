import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

// The repository held against its own house rules. Each test names what breaks the rule, so an empty list is what is wanted.

const files = spawnSync('git', ['ls-files', '-z'], { encoding: 'utf8', maxBuffer: 1 << 26 })
  .stdout.split('\0')
  .filter((file) => file !== '' && existsSync(file));
const read = (file: string) => readFileSync(file, 'utf8');
const self = 'tools/tidy/tidy.spec.ts';
const text = files.filter(
  (file) =>
    /\.(ts|mjs|json|md|ya?ml|sh|txt)$|(^|\/)(Dockerfile|run|LICENSE|\.[a-z]+rc|\.gitignore|\.dockerignore)$/.test(file) && file !== self,
);
const code = text.filter((file) => /\.(ts|mjs)$/.test(file));
const documents = files.filter((file) => file.endsWith('.md'));

/** Where a pattern occurs, as `file:line: found`. */
function occurrences(among: string[], pattern: RegExp): string[] {
  return among.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${pattern.exec(line)?.[0]}`] : [])),
  );
}

it('is looked at: git names its files', () => expect(files).toContain(self));

describe('tests', () => {
  it('are all run: none is focused, none is left for later', () => {
    expect(
      occurrences(code, /\b(describe|it|test)\.(only|todo|skip)\b/).filter(
        (where) => !where.startsWith('tools/vitest/closing-line.spec.ts'),
      ),
    ).toEqual([]);
  });
  it('carry a suffix that one of the Vitest projects looks for', () => {
    expect(files.filter((file) => /(\.test|_test|_spec|\.specs)\.ts$/.test(file))).toEqual([]);
  });
});

describe('what is committed', () => {
  it('holds no path of one machine and no address of a package registry', () => {
    expect(occurrences(text, /(^|[\s"'`(=:])\/(work|home|Users|root|farm)\/|registry\.(npmjs|yarnpkg)|"resolved": "https?:/)).toEqual([]);
  });
  it('holds nothing unfinished', () => {
    expect(occurrences(code, /\b(TODO|FIXME|XXX|HACK)\b|[Nn]ot implemented/)).toEqual([]);
  });
  it('names no file Impl, Manager, Helper, common, shared or utils', () => {
    // What lies in memory that threads share is called so after what it is.
    expect(files.filter((file) => /(^|[/.-])(impl|manager|helpers?|common|shared(?!-lru|-history)|utils?)([/.-]|$)/i.test(file))).toEqual(
      [],
    );
  });
  it('names files in kebab-case', () => {
    expect(code.filter((file) => !/^[a-z0-9./-]+$/.test(file))).toEqual([]);
  });
});

describe('documents', () => {
  it('have one title each, on the first line', () => {
    const titles = (file: string) =>
      read(file)
        .replaceAll(/^```[\s\S]*?^```/gm, '')
        .match(/^# .+/gm) ?? [];
    expect(documents.filter((file) => titles(file).length !== 1 || !read(file).startsWith('# '))).toEqual([]);
  });
  it('are there for each library: why it exists and what to read first', () => {
    const libraries = [...new Set(files.filter((file) => file.startsWith('libs/')).map((file) => file.split('/').slice(0, 2).join('/')))];
    expect(libraries.filter((library) => !documents.includes(`${library}/README.md`))).toEqual([]);
  });
  it('can be reached from the README', () => {
    const reached = new Set<string>();
    const visit = (document: string) => {
      if (reached.has(document)) return;
      reached.add(document);
      for (const target of linksOf(document)) {
        if (target.endsWith('.md') && existsSync(target)) visit(target);
        else for (const inside of documents.filter((file) => dirname(file) === target)) visit(inside); // a link to a folder
      }
    };
    visit('README.md');
    expect(documents.filter((file) => !reached.has(file) && !/^(libs|tools|apps|e2e)\//.test(file))).toEqual([]);
  });
  it('link only to what is there', () => {
    expect(
      documents.flatMap((file) =>
        linksOf(file)
          .filter((target) => !existsSync(target))
          .map((target) => `${file}: ${target}`),
      ),
    ).toEqual([]);
  });
  it('number the decisions without a gap', () => {
    const numbers = documents.flatMap((file) => /^docs\/adr\/(\d{4})-[a-z0-9-]+\.md$/.exec(file)?.[1] ?? []).map(Number);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  });
});

/** The files that a document links to, from the root of the repository. */
function linksOf(document: string): string[] {
  if (!existsSync(document)) return [];
  const links = [
    ...read(document)
      .replaceAll(/^```[\s\S]*?^```/gm, '')
      .matchAll(/\]\(([^)\s#]+)(#[^)]*)?\)/g),
  ].map(([, target]) => target ?? '');
  return links.filter((link) => !/^[a-z]+:/.test(link)).map((link) => normalize(join(dirname(document), link)).replace(/\/$/, ''));
}
