import { readFileSync, writeFileSync } from 'node:fs';
import { WORKSPACE } from '@diptych/testing';

const PAGE = 'docs/benchmarks/messaging.md';
const BEGIN = '<!-- figures: begin, written by `npm run bench:messaging -- --update-page` -->';
const END = '<!-- figures: end -->';

/** Puts figures between the page's two marks. @returns the page @throws Error when a mark is missing */
export function updatePage(figures: string): string {
  const file = `${WORKSPACE}/${PAGE}`;
  const text = readFileSync(file, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin === -1 || end < begin) throw new Error(`${PAGE} lacks the marks between which the figures go: ${BEGIN} and ${END}`);
  writeFileSync(file, `${text.slice(0, begin)}${BEGIN}\n\n${figures}\n\n${text.slice(end)}`);
  return PAGE;
}
