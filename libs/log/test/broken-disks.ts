import type { File, FileSystem } from '../src/engine/file-system.js';
import type { Fault } from './faulty-file-system.js';
import { FaultyFileSystem } from './faulty-file-system.js';
import type { MemoryDisk } from './memory-disk.js';

/**
 * Disks on which the engine behaves as if one of its own steps were missing or out of place. On each of them the crash suite must find
 * something, or it would not notice the same mistake in the engine.
 */
export const BROKEN_DISKS: Readonly<Record<string, (disk: MemoryDisk) => FileSystem>> = {
  'nothing is synced': (disk) => pretending(disk, (operation) => operation === 'sync' || operation === 'syncDirectory'),
  'files are not synced': (disk) => pretending(disk, (operation) => operation === 'sync'),
  'directories are not synced': (disk) => pretending(disk, (operation) => operation === 'syncDirectory'),
  'the header of a new segment is not synced': (disk) =>
    pretending(disk, (operation, path) => operation === 'sync' && path.endsWith('.new')),
  'an open does not sync what it shows': (disk) => {
    let opened = false;
    return pretending(disk, (operation, path) => {
      if (operation === 'list') opened = true;
      if (operation === 'write' && path.endsWith('.segment')) opened = false;
      return operation === 'sync' && path.endsWith('.segment') && opened;
    });
  },
  'a torn tail is not cut': (disk) => pretending(disk, (operation) => operation === 'truncate'),
  'what is cut off is not synced where it is saved': (disk) =>
    pretending(disk, (operation, path) => operation === 'sync' && path.includes('/torn/')),
  'a segment gets its name before it is synced': renamesFirst,
  'an append is answered before it is synced': (disk) => syncsLate(disk, 1),
  'answers run two syncs ahead': (disk) => syncsLate(disk, 2),
};

function pretending(disk: MemoryDisk, what: (operation: string, path: string) => boolean): FileSystem {
  const fileSystem = new FaultyFileSystem(disk);
  fileSystem.fault = (operation, path): Fault | undefined => (what(operation, path) ? { pretend: true } : undefined);
  return fileSystem;
}

/** What is synced under a temporary name is synced only once it has its final one. */
function renamesFirst(disk: MemoryDisk): FileSystem {
  const late = new Map<string, File>();
  return onTopOf(disk, {
    async open(path, how) {
      const file = await disk.open(path, how);
      return path.endsWith('.new') ? { ...file, sync: async () => void late.set(path, file) } : file;
    },
    async rename(from, to) {
      await disk.rename(from, to);
      await late.get(from)?.sync();
      late.delete(from);
    },
  });
}

/** A sync answers at once and is done when `behind` more have been asked for. */
function syncsLate(disk: MemoryDisk, behind: number): FileSystem {
  const owed: File[] = [];
  return onTopOf(disk, {
    async open(path, how) {
      const file = await disk.open(path, how);
      return {
        ...file,
        async write(source, sourceOffset, length, position) {
          // With one behind, the sync comes after the answer and before anything else is written.
          if (behind === 1) await owed.shift()?.sync();
          return file.write(source, sourceOffset, length, position);
        },
        async sync() {
          owed.push(file);
          if (owed.length > behind) await owed.shift()!.sync();
        },
      };
    },
  });
}

function onTopOf(disk: MemoryDisk, changed: Partial<FileSystem>): FileSystem {
  return {
    open: (path, how) => disk.open(path, how),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    lock: (path) => disk.lock(path),
    ...changed,
  };
}
