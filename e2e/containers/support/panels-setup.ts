import { mkdirSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { startPanels } from './panels-environment.js';
import { writePages } from './page.js';

/**
 * Both panels, started once for all container tests of a run and ended after them: each test leaves them whole for the next. At the end the
 * run writes what it found to results/outages/, and with `--update` to the pages that show it.
 */
export default async function panelsForAll(project: TestProject): Promise<() => Promise<void>> {
  const panels = await startPanels();
  mkdirSync(panels.address.recordDir, { recursive: true });
  project.provide('panels', panels.address);
  return async () => {
    try {
      writePages(panels.address.recordDir, { publish: project.vitest.config.snapshotOptions.updateSnapshot === 'all' });
    } finally {
      await panels.down();
    }
  };
}
