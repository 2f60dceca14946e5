import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { leftovers } from './panels.js';
import { startPanels } from './panels-environment.js';
import { writePages, type Manifest } from './page.js';

/**
 * Both panels, started once for all container tests of a run and ended after them: each test leaves them whole for the next. At the end the
 * run writes what it found to results/outages/, and with `--update` to the pages that show it. A run that leaves anything of any of its projects
 * behind fails, and so does one that leaves an image without a name.
 */
export default async function panelsForAll(project: TestProject): Promise<() => Promise<void>> {
  const panels = await startPanels();
  mkdirSync(panels.address.recordDir, { recursive: true });
  writeFileSync(join(panels.address.recordDir, 'manifest.json'), JSON.stringify(manifest()));
  project.provide('panels', panels.address);
  return async () => {
    try {
      writePages(panels.address.recordDir, { publish: project.vitest.config.snapshotOptions.updateSnapshot === 'all' });
    } finally {
      await panels.down();
    }
    // The names of all projects of this run begin like that of the panels.
    const left = await leftovers(`${panels.address.project}*`);
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  };
}

function manifest(): Manifest {
  const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8' }).stdout.trim();
  return {
    at: new Date().toISOString(),
    commit: git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes'),
    cores: availableParallelism(),
    loadAtStart: loadavg()[0]!,
  };
}
