import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import type { TestProject } from 'vitest/node';
import { leftovers } from './panels.js';
import { startPanels } from './panels-environment.js';
import { writePages, type Manifest } from './page.js';

/**
 * Both panels, started once for all container tests of a run and ended after them: each test leaves them whole for the next. At the end the
 * run says how long it took, and writes what it found to results/outages/ and, with `--update` and when nothing failed, to the pages that show
 * it. A run that leaves anything of any of its projects behind fails, and so does one that leaves an image without a name.
 */
export default async function panelsForAll(project: TestProject): Promise<() => Promise<void>> {
  const [beganMs, start] = [performance.now(), started()];
  const panels = await startPanels();
  mkdirSync(panels.address.recordDir, { recursive: true });
  project.provide('panels', panels.address);
  return async () => {
    const { state, config } = project.vitest;
    let clean = false;
    try {
      await panels.down();
      // The names of all projects of this run begin like that of the panels.
      const left = await leftovers(`${panels.address.project}*`);
      if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
      clean = true;
    } finally {
      const minutes = (performance.now() - beganMs) / 60_000;
      console.info(`container tests: ${minutes.toFixed(1)} minutes, from before the images were built until all was taken down`);
      const publish = clean && config.snapshotOptions.updateSnapshot === 'all';
      writePages(panels.address.recordDir, { ...start, minutes }, { publish, failed: state.getFailedFilepaths() });
    }
  };
}

function started(): Omit<Manifest, 'minutes'> {
  const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8' }).stdout.trim();
  return {
    at: new Date().toISOString(),
    commit: git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes'),
    cores: availableParallelism(),
    loadAtStart: loadavg()[0]!,
  };
}
