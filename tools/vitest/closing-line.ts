import { whyNoDockerEngine } from '../setup/docker-engine.mjs';
import type { Reporter, TestCase, TestModule, TestRunEndReason, TestSuite, Vitest } from 'vitest/node';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Prints the seed when a run starts, and when it has ended `N passed, N failed[, N skipped]` alone on the very last line. A file that does
 * not load, a hook that throws, an error outside any test and a run that was broken off count as failed: the line never looks better than
 * the exit code.
 */
export default class ClosingLine implements Reporter {
  private counts: Counts = { passed: 0, failed: 1, skipped: 0 }; // what is true if the run never gets to its end

  onInit(vitest: Vitest): void {
    vitest.logger.log(`seed ${process.env.DIPTYCH_SEED} (DIPTYCH_SEED=${process.env.DIPTYCH_SEED} repeats this run's random choices)`);
    const leftOut = process.env.DIPTYCH_CONTAINERS === '1' ? '' : `container tests left out: ${whyLeftOut()}\n`;
    // Printed at exit, since other reporters and vitest itself still write after the end of the run.
    process.once('exit', () => process.stdout.write(`\n${leftOut}${closingLine(this.counts)}\n`));
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[], reason: TestRunEndReason): void {
    this.counts = count(modules, errors.length);
    const ranNothing = modules.length === 0;
    if (this.counts.failed === 0 && (reason !== 'passed' || ranNothing)) this.counts.failed = 1;
  }
}

/** Adds up what ran. `otherErrors` are those that belong to no test, such as an unhandled rejection. */
export function count(modules: readonly TestModule[], otherErrors: number): Counts {
  const counts: Counts = { passed: 0, failed: otherErrors, skipped: 0 };
  for (const module of modules) {
    counts.failed += [module, ...module.children.allSuites()].filter(brokeItself).length;
    for (const test of module.children.allTests()) counts[outcome(test)]++;
  }
  return counts;
}

/** @returns e.g. `12 passed, 0 failed, 1 skipped` */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

function whyLeftOut(): string {
  return whyNoDockerEngine() ?? 'they take minutes, and `npm run test:containers` runs them';
}

/** Its file did not load or one of its hooks threw: no test carries that failure. */
function brokeItself(collection: TestModule | TestSuite): boolean {
  return collection.errors().length > 0;
}

function outcome(test: TestCase): keyof Counts {
  const { state } = test.result();
  return state === 'passed' || state === 'failed' ? state : 'skipped';
}
