import { readFileSync, writeFileSync } from 'node:fs';
import { WORKSPACE } from '@diptych/testing';

/** Puts figures between the two marks of a page, by default the benchmark's own. @returns the page @throws Error when a mark is missing */
export function updatePage(benchmark: string, figures: string, page = `docs/benchmarks/${benchmark}.md`): string {
  const first = `<!-- figures: begin, written by \`npm run bench:${benchmark} -- --update-page\` -->`;
  const file = `${WORKSPACE}/${page}`;
  const text = readFileSync(file, 'utf8');
  const begin = text.indexOf(first);
  const end = text.indexOf(LAST);
  if (begin === -1 || end < begin) throw new Error(`${page} lacks the marks between which the figures go: ${first} and ${LAST}`);
  writeFileSync(file, `${text.slice(0, begin)}${first}\n\n${figures}\n\n${text.slice(end)}`);
  return page;
}

const LAST = '<!-- figures: end -->';
