import { fileURLToPath } from 'node:url';
import type { ProcessOptions } from './running-process.js';

/**
 * How `startProcess` runs a TypeScript program of this repository, its libraries too, without a build.
 *
 * @param args what follows the program on the command line
 * @returns options with this process's environment; what the program needs besides is spread over it
 */
export function fromSource(program: URL, ...args: readonly string[]): Required<Pick<ProcessOptions, 'command' | 'args' | 'env'>> {
  return {
    command: process.execPath,
    args: [...FROM_SOURCE, fileURLToPath(program), ...args],
    env: { ...process.env, TSX_TSCONFIG_PATH: fileURLToPath(new URL('../../../tsconfig.base.json', import.meta.url)) },
  };
}

/** The options of Node by which it reads sources. */
export const FROM_SOURCE: readonly string[] = ['--conditions=@diptych/source', '--import', 'tsx'];
