import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { DiptychError, systemClock } from '@diptych/kernel';
import { pinned, reapProcess, type Cores } from '@diptych/testing';
import { childModule } from '../child-module.js';
import type { Window } from './generator.js';
import type { GeneratorLine } from './generator-main.js';
import type { LoadPlan } from './schedule.js';
import type { LoadResult } from './summary.js';

export interface LoadOptions {
  readonly cores?: Cores | undefined;
  /** Ends the run early; the result then holds what was measured. */
  readonly signal?: AbortSignal | undefined;
  /** Ends the run early when all that was sent is answered or given up: nothing is lost by the end itself. Not before the schedule has begun. */
  readonly enough?: AbortSignal | undefined;
  /** Told of each window of the plan when it is over. */
  readonly onWindow?: ((window: Window) => void) | undefined;
  /** Told when the schedule begins, and when its last request is answered or given up: the generator's own start and its history lie outside. */
  readonly onPhase?: ((phase: 'sending' | 'sent') => void) | undefined;
}

/**
 * Runs a plan in a generator process of its own and returns what it measured.
 *
 * @throws INTERNAL when the generator fails or does not end soon after its schedule does
 */
export async function runLoad(plan: LoadPlan, options: LoadOptions = {}): Promise<LoadResult> {
  const { command, args } = pinned(options.cores, process.execPath, [
    ...process.execArgv,
    childModule(import.meta.url, './generator-main'),
  ]);
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  using _reaping = child.pid === undefined ? undefined : reapProcess(child.pid);
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  const stop = () => child.kill('SIGTERM');
  options.enough?.addEventListener('abort', () => child.kill('SIGUSR2'), { once: true });
  const overdue = systemClock.after(plan.seconds * 1000 + plan.timeoutMs + GRACE_MS, () => child.kill('SIGKILL'));
  options.signal?.addEventListener('abort', stop, { once: true });
  if (options.signal?.aborted) stop();
  let result: LoadResult | undefined;
  try {
    // A generator that ends early breaks this pipe; its exit code says why.
    child.stdin.on('error', () => undefined).end(JSON.stringify(plan));
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as GeneratorLine;
      if ('result' in line) result = line.result;
      else if ('phase' in line) options.onPhase?.(line.phase);
      else options.onWindow?.(line.window);
    });
    const [code, killedBy] = await closed;
    if (!result)
      throw new DiptychError('INTERNAL', `the load generator ended with ${killedBy ?? `exit code ${code}`}, and without a result`);
    return result;
  } finally {
    overdue[Symbol.dispose]();
    options.signal?.removeEventListener('abort', stop);
    child.kill('SIGKILL');
  }
}

/** Time to build the schedule and to write the history. */
const GRACE_MS = 20_000;
