import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WORKSPACE } from './app-process.js';

/** Keeps what a long run found in results/<name>/, under its time. */
export function keepRecord(name: string, record: { readonly at: string }, suffix = ''): void {
  const folder = join(WORKSPACE, 'results', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${record.at.replaceAll(':', '-')}${suffix}.json`), `${JSON.stringify(record, undefined, 2)}\n`);
}
