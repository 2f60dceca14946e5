import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir, type TempDir } from '@diptych/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readReport } from './report/write-report.js';
import type { Meta } from './results.js';
import { beginRunDirectory, writeWhole } from './run-directory.js';

let dir: TempDir;
beforeEach(async () => void (dir = await tempDir('diptych-lab-')));
afterEach(() => dir.remove());

const meta = { startedAt: '2026-01-01T00:00:00.000Z' } as Meta;

it('refuses a directory without a name, and one that holds a run', () => {
  expect(() => beginRunDirectory('compare', '', meta, {})).toThrow('--out wants the name of a directory');
  const asked = join(dir.path, 'a', 'run');
  expect(beginRunDirectory('compare', asked, meta, { blocks: 6 })).toBe(asked);
  expect(JSON.parse(readFileSync(join(asked, 'manifest.json'), 'utf8'))).toMatchObject({ plan: { blocks: 6 } });
  expect(() => beginRunDirectory('compare', asked, meta, {})).toThrow('holds a run already');
});

it('leaves the old file, and no half of a new one, where it cannot be written', () => {
  const file = join(dir.path, 'results.json');
  writeWhole(file, 'old');
  // A directory in the way of the unfinished one stands for a disk that is full.
  mkdirSync(`${file}.unfinished/x`, { recursive: true });
  expect(() => writeWhole(file, 'new')).toThrow(`cannot write ${file}: `);
  expect(readFileSync(file, 'utf8')).toBe('old');
  writeWhole(join(dir.path, 'other'), 'new');
  expect(readdirSync(dir.path).sort()).toEqual(['other', 'results.json']);
});

it('says what is missing in a results file that is not whole', () => {
  const file = join(dir.path, 'results.json');
  writeFileSync(file, '{"format":"lab-report/1"}');
  expect(() => readReport(file)).toThrow('it has no meta, no gates, no experiments');
  writeFileSync(file, '{}');
  expect(() => readReport(file)).toThrow('is no results file of compare');
});
