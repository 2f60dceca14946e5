import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

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
  const cores = availableParallelism();
  if (cores < 2 || spawnSync('taskset', ['-c', '0', 'true']).status !== 0)
    return { system: undefined, generator: undefined, words: `system and generator share ${cores} core(s)` };
  const system = cores === 2 ? '0' : `0-${cores - 2}`;
  return { system, generator: String(cores - 1), words: `system on core ${system}, generator on core ${cores - 1} of ${cores}` };
}

export function pinned(cores: Cores | undefined, command: string, args: readonly string[]): { command: string; args: string[] } {
  return cores === undefined ? { command, args: [...args] } : { command: 'taskset', args: ['-c', cores, command, ...args] };
}
