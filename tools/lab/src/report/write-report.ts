import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { conclude, EXIT_CODES, type Conclusion } from '../conclusion.js';
import type { LabReport } from '../results.js';
import { writeWhole } from '../run-directory.js';
import { page } from './page.js';

/** Writes `results.json` and `report.html` into a directory. Safe to repeat. */
export function writeReport(report: LabReport, conclusion: Conclusion, dir: string): { json: string; html: string } {
  const files = { json: join(dir, 'results.json'), html: join(dir, 'report.html') };
  // NaN, which a contrast without enough blocks has, becomes null.
  writeWhole(files.json, `${JSON.stringify({ ...report, conclusion }, null, 1)}\n`);
  writeWhole(files.html, page(report, conclusion));
  return files;
}

/** @throws TypeError when the file is no results file of `compare` */
export function readReport(file: string): LabReport {
  const report = JSON.parse(readFileSync(file, 'utf8'), (name, value: unknown) =>
    value === null && ['estimate', 'low', 'high', 'pValue'].includes(name) ? Number.NaN : value,
  ) as Partial<LabReport> | null;
  if (report?.format !== 'lab-report/1')
    throw new TypeError(`${file} is no results file of compare: its format is ${JSON.stringify(report?.format)}, not "lab-report/1"`);
  const absent = ['meta', 'gates', 'experiments'].filter((part) => typeof report[part as keyof LabReport] !== 'object');
  if (absent.length > 0) throw new TypeError(`${file} is no whole results file of compare: it has no ${absent.join(', no ')}`);
  return report as LabReport;
}

/** Renders the page of an earlier run anew, beside its results, and leaves these as they are. @returns the exit code that the run had */
export function renderAgain(file: string): number {
  const report = readReport(file);
  const conclusion = conclude(report);
  const html = join(dirname(file), 'report.html');
  writeWhole(html, page(report, conclusion));
  process.stdout.write(`${html}\n`);
  return EXIT_CODES[conclusion.outcome];
}
