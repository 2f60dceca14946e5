import type { BenchRun, Job } from '../bench-run.js';
import { startChild } from '../processes.js';

const WARM_MS = 200;
const COUNTED_MS = 300;

/** Calls that leave no process, each kind in one of its own. */
export function callsJobs(run: BenchRun): Job[] {
  return ['bare', 'in-process', 'guarded', 'library', 'loopback'].map((arm) => ({
    arm,
    async run() {
      const child = await run.owned(startChild('calls-main', [arm], /^ready$/m));
      const figures = (await child.ask({ warmMs: WARM_MS, milliseconds: COUNTED_MS })) as { usPerCall: number };
      await run.end(child);
      return [{ row: 'calls', figures }];
    },
  }));
}
