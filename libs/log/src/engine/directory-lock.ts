import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DiptychError } from '@diptych/kernel';

/**
 * Keeps a directory to one process. The operating system holds the lock (a byte-range lock that SQLite's `BEGIN EXCLUSIVE` takes), so a
 * crash releases it, and no process id can be mistaken for another's after a container restarts. Node has no `flock` of its own.
 *
 * @throws UNAVAILABLE when the directory is in use, or cannot be written to
 */
export function lockDirectory(directory: string): Disposable {
  const path = join(directory, LOCK_FILE);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    const { errcode } = error as { errcode?: number };
    if (errcode === SQLITE_BUSY)
      throw new DiptychError('UNAVAILABLE', `the log directory ${directory} is in use by another process; stop that one first`, {
        cause: error,
      });
    throw new DiptychError('UNAVAILABLE', `the log directory ${directory} cannot be locked: ${(error as Error).message} (${path})`, {
      cause: error,
    });
  }
  const locked = database;
  return {
    [Symbol.dispose]() {
      if (locked.isOpen) locked.close();
    },
  };
}

export const LOCK_FILE = 'lock.sqlite';

const SQLITE_BUSY = 5;
