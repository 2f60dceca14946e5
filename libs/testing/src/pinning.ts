import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { allowedCores } from './usage.js';

/** Which cores a process may use, as `taskset` writes them: `0`, `1`, `0-3`. Undefined: any. */
export type Cores = string;

export interface Profile {
  readonly system: Cores | undefined;
  readonly generator: Cores | undefined;
  readonly words: string;
}

/**
 * The system on all cores but the last, the generator on the last, so that they do not take time from each other. Where cores cannot be assigned
 * (no `taskset`, or one core) all share, and the report says so.
 */
export function profile(): Profile {
  const cores = allowedCores();
  const shared = (why: string): Profile => ({ system: undefined, generator: undefined, words: `system and generator share ${why}` });
  if (cores.length < 2) return shared(`${availableParallelism()} core(s)`);
  const generator = String(cores.at(-1));
  if (spawnSync('taskset', ['-c', generator, 'true']).status !== 0) return shared(`${cores.length} cores (there is no taskset)`);
  const system = cores.slice(0, -1).join(',');
  return { system, generator, words: `system on core ${system}, generator on core ${generator}` };
}

export function pinned(cores: Cores | undefined, command: string, args: readonly string[]): { command: string; args: string[] } {
  return cores === undefined ? { command, args: [...args] } : { command: 'taskset', args: ['-c', cores, command, ...args] };
}
