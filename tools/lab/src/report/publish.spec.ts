import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { format, resolveConfig } from 'prettier';
import { blockFor, blockOf, PUBLISHED } from './publish.js';
import { readReport } from './write-report.js';

const report = existsSync(PUBLISHED.data) ? readReport(PUBLISHED.data) : undefined;

it.each(PUBLISHED.documents)('$file shows what the committed results say, and nothing else', async (document) => {
  const shown = blockOf(readFileSync(document.file, 'utf8'), document.file);
  expect(shown, 'npm run lab -- publish docs/experiments/data/compare.results.json writes it anew').toBe(blockFor(report, document));
  // The formatter of the repository must leave it as it is.
  expect((await format(shown, { ...(await resolveConfig(document.file)), parser: 'markdown' })).trimEnd()).toBe(shown);
});

it('says which document has no place for a run', () => {
  expect(() => blockOf('# Title', 'x.md')).toThrow('x.md has no place for a published run');
});
