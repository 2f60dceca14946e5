import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { format, resolveConfig } from 'prettier';
import { reportOf } from '../../test/made-up.js';
import type { LabReport } from '../results.js';
import { blockFor, blockOf, PUBLICATIONS, publicationOf } from './publish.js';
import { readReport } from './write-report.js';

const shownIn = PUBLICATIONS.flatMap((where) => where.documents.map((document) => ({ ...where, ...document, where, document })));

it.each(shownIn)('$file shows what the committed results of $command say, and nothing else', async ({ file, where, document }) => {
  const report = existsSync(where.data) ? readReport(where.data) : undefined;
  const shown = blockOf(readFileSync(file, 'utf8'), file, where);
  expect(shown, `npm run lab -- publish ${where.data} writes it anew`).toBe(blockFor(report, where, document));
  // The formatter of the repository must leave it as it is.
  expect(await asFormatted(shown, file)).toBe(shown);
});

it('a run of scaling is shown by the table of its runs and its findings', async () => {
  const metrics = { instances: 1, goodPerSecond: 1_200, memoryBytes: 2 ** 27, cpuMsPer1000Good: 200 };
  const of = (instances: number): LabReport['experiments'][number]['runs'][number] => ({
    block: 0,
    order: instances,
    arm: 'services',
    label: `reads only, services-scaled, ${instances}`,
    valid: true,
    metrics: { ...metrics, instances, goodPerSecond: 1_200 * instances, memoryBytes: instances * 2 ** 27 },
    series: [],
  });
  const experiment = { id: 'scale-out', title: '', claim: '', expectation: '', caveat: '', contrasts: [], survival: undefined };
  const report = reportOf({ ...experiment, runs: [1, 2, 3].map(of), findings: ['it stops at the log.'] });
  const [where] = PUBLICATIONS.filter(({ command }) => command === 'lab -- run scale-out');
  const block = blockFor(report, where!, where!.documents[0]!);
  expect(block).toMatch(
    /^\| reads only, services-scaled +\| 1,200 \| 2,400 \(100 %\) \| 3,600 \(100 %\) \| 107 MiB \(107 to 107\) +\| 0.20 cores/m,
  );
  expect(block).toContain('- it stops at the log.');
  expect(block).not.toContain('held up better');
  expect(await asFormatted(block, 'docs/experiments/scaling.md')).toBe(block);
});

it('says which document has no place for a run, and of which runs there is none', () => {
  expect(() => blockOf('# Title', 'x.md', PUBLICATIONS[0]!)).toThrow('x.md has no place for a published run');
  const report = reportOf();
  const of = (change: Partial<LabReport['meta']>) => () => publicationOf({ ...report, meta: { ...report.meta, ...change } });
  expect(of({ command: 'lab -- run scale-out' })().data).toBe('docs/experiments/data/scale-out.results.json');
  expect(of({ command: 'lab -- run something' })).toThrow('no document shows runs of');
  expect(of({ command: 'compare', replay: 'npm run compare -- --seed 1 --runtime docker' })).toThrow('no document shows');
});

async function asFormatted(text: string, file: string): Promise<string> {
  return (await format(text, { ...(await resolveConfig(file)), parser: 'markdown' })).trimEnd();
}
