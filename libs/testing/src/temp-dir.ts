import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reapDir } from './reaper.js';

export interface TempDir extends AsyncDisposable {
  readonly path: string;
  /** Removes the directory with all in it. Safe to repeat. */
  remove(): Promise<void>;
}

/** A new empty directory. It is removed by `remove`, by `await using`, or at the latest when the runner has ended. */
export async function tempDir(prefix = 'diptych-'): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  const reaping = reapDir(path);
  const remove = async () => {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
    reaping[Symbol.dispose]();
  };
  return { path, remove, [Symbol.asyncDispose]: remove };
}
