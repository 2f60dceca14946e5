import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TempDir extends AsyncDisposable {
  readonly path: string;
  /** Removes the directory with all in it. Safe to repeat. */
  remove(): Promise<void>;
}

/** A new empty directory. It is removed by `remove`, by `await using`, or at the latest when this process exits. */
export async function tempDir(prefix = 'diptych-'): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  left.add(path);
  if (left.size === 1) process.once('exit', removeAll);
  const remove = async () => {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
    left.delete(path);
    if (left.size === 0) process.removeListener('exit', removeAll);
  };
  return { path, remove, [Symbol.asyncDispose]: remove };
}

const left = new Set<string>();

function removeAll(): void {
  for (const path of left) rmSync(path, { recursive: true, force: true });
}
