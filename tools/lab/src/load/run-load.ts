import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { DiptychError } from '@diptych/kernel';
import { pinned, type Cores } from '@diptych/testing';
import { childModule } from '../child-module.js';
import type { LoadPlan } from './schedule.js';
import type { LoadResult } from './summary.js';

/**
 * Runs a plan in a generator process of its own and returns what it measured. Aborting the signal ends the run early; the result then holds what was measured.
 *
 * @throws INTERNAL when the generator fails or does not end soon after its schedule does
 */
export async function runLoad(
  plan: LoadPlan,
  options: { cores?: Cores | undefined; signal?: AbortSignal | undefined } = {},
): Promise<LoadResult> {
  const { command, args } = pinned(options.cores, process.execPath, [
    ...process.execArgv,
    childModule(import.meta.url, './generator-main'),
  ]);
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const stop = () => child.kill('SIGTERM');
  const overdue = setTimeout(() => child.kill('SIGKILL'), plan.seconds * 1000 + plan.timeoutMs + GRACE_MS);
  options.signal?.addEventListener('abort', stop, { once: true });
  try {
    child.stdin.end(JSON.stringify(plan));
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const [code, killedBy] = (await once(child, 'close')) as [number | null, string | null];
    if (code !== 0) throw new DiptychError('INTERNAL', `the load generator ended with ${killedBy ?? `exit code ${code}`}`);
    return JSON.parse(Buffer.concat(chunks).toString()) as LoadResult;
  } finally {
    clearTimeout(overdue);
    options.signal?.removeEventListener('abort', stop);
    child.kill('SIGKILL');
  }
}

/** Time to build the schedule and to write the history. */
const GRACE_MS = 20_000;
