import fs from 'node:fs';
import { dirname, resolve } from 'node:path';
import { lockDirectory } from './directory-lock.js';

/**
 * All the engine asks of a disk. Every access goes through here, so that tests can stand in for a disk that fails.
 *
 * Errors are Node's, with their `code` (`ENOSPC`, `EIO`, `ENOENT`, …).
 */
export interface FileSystem {
  /** Nobody stands between a file and its `descriptor`: another thread may write to that. */
  readonly unwatched?: boolean;
  /** `create` refuses a file that exists (`EEXIST`); `write` and `read` one that does not (`ENOENT`). */
  open(path: string, how: 'read' | 'write' | 'create'): Promise<File>;
  /** Atomic; replaces what is there. Durable only after `syncDirectory`. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Names and kinds in a directory, unordered. */
  list(path: string): Promise<ReadonlyArray<{ readonly name: string; readonly directory: boolean }>>;
  /** With its parents, each of them durably; fine if it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Makes the creations, renames and removals in a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** Keeps a directory to one process until it is disposed of or the process ends. @throws UNAVAILABLE when it is in use */
  lock(directory: string): Disposable;
}

export interface File {
  /** Bytes read: fewer than asked for at the end of the file, or for no reason. */
  read(target: Buffer, targetOffset: number, length: number, position: number): Promise<number>;
  /** The same, holding up the event loop. */
  readSync(target: Buffer, targetOffset: number, length: number, position: number): number;
  /** Bytes written: may be fewer than asked for. */
  write(source: Buffer, sourceOffset: number, length: number, position: number): Promise<number>;
  /** `fdatasync`: resolves when data, and the length that is needed to find it, are on stable storage. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
  /** What the operating system calls it, in every thread of this process; undefined when the disk is none of its own. */
  readonly descriptor?: number;
}

/** The real one. Callbacks rather than `fs/promises`: they cost about half as much a call. */
export const nodeFileSystem: FileSystem = {
  unwatched: true,
  open: (path, how) => settle<number>((done) => fs.open(path, OPEN_FLAGS[how], 0o600, done)).then((descriptor) => new NodeFile(descriptor)),
  rename: (from, to) => settle<void>((done) => fs.rename(from, to, done)),
  remove: (path) => settle<void>((done) => fs.unlink(path, done)),
  list: async (path) => {
    const entries = await settle<fs.Dirent[]>((done) => fs.readdir(path, { withFileTypes: true }, done));
    return entries.map((entry) => ({ name: entry.name, directory: entry.isDirectory() }));
  },
  makeDirectory: (path) => makeDirectory(absolute(path)),
  syncDirectory,
  lock: lockDirectory,
};

async function syncDirectory(path: string): Promise<void> {
  const descriptor = await settle<number>((done) => fs.open(path, 'r', done));
  try {
    await settle<void>((done) => fs.fsync(descriptor, done));
  } finally {
    await settle<void>((done) => fs.close(descriptor, done));
  }
}

/**
 * Level by level, and each level at most twice: Node's own `recursive` tries again for as long as the parent is there and the answer
 * is ENOENT, which in /proc is for ever.
 */
async function makeDirectory(path: string): Promise<void> {
  const parent = dirname(path);
  if (!(await tryMakeDirectory(path))) {
    if (parent !== path) await makeDirectory(parent);
    if (!(await tryMakeDirectory(path))) throw Object.assign(new Error(`no directory can be made in ${parent}`), { code: 'ENOENT' });
  }
}

/** False when the parent is missing, or says so. */
async function tryMakeDirectory(path: string): Promise<boolean> {
  try {
    await settle<void>((done) => fs.mkdir(path, { mode: 0o700 }, done));
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return false;
    const existing = await settle<fs.Stats>((done) => fs.stat(path, done)).catch(() => undefined);
    if (existing?.isDirectory()) return true;
    throw error;
  }
  await syncDirectory(dirname(path));
  return true;
}

function absolute(path: string): string {
  try {
    return resolve(path);
  } catch (error) {
    throw Object.assign(new Error('the path is relative, and the working directory of this process is gone', { cause: error }), {
      code: 'ENOENT',
    });
  }
}

/** Reads until `length` bytes are there or the file ends; returns how many there are. */
export async function readFully(file: File, target: Buffer, targetOffset: number, length: number, position: number): Promise<number> {
  let done = 0;
  while (done < length) {
    const count = await file.read(target, targetOffset + done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

export async function writeFully(file: File, source: Buffer, length: number, position: number): Promise<void> {
  let done = 0;
  while (done < length) {
    const count = await file.write(source, done, length - done, position + done);
    if (count === 0) throw Object.assign(new Error('ENOSPC: the file takes no more bytes, write'), { code: 'ENOSPC' });
    done += count;
  }
}

export function errorCodeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null ? (error as { code?: string }).code : undefined;
}

export function isNoSpace(error: unknown): boolean {
  const code = errorCodeOf(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

const OPEN_FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const;

/** A file that another thread opened and keeps open. Do not close it. */
export function openedFile(descriptor: number): File {
  return new NodeFile(descriptor);
}

class NodeFile implements File {
  readonly descriptor: number;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  read(target: Buffer, targetOffset: number, length: number, position: number): Promise<number> {
    return settle((done) => fs.read(this.descriptor, target, targetOffset, length, position, done));
  }

  readSync(target: Buffer, targetOffset: number, length: number, position: number): number {
    return fs.readSync(this.descriptor, target, targetOffset, length, position);
  }

  write(source: Buffer, sourceOffset: number, length: number, position: number): Promise<number> {
    return settle((done) => fs.write(this.descriptor, source, sourceOffset, length, position, done));
  }

  sync(): Promise<void> {
    return settle((done) => fs.fdatasync(this.descriptor, done));
  }

  truncate(length: number): Promise<void> {
    return settle((done) => fs.ftruncate(this.descriptor, length, done));
  }

  async size(): Promise<number> {
    return (await settle<fs.Stats>((done) => fs.fstat(this.descriptor, done))).size;
  }

  close(): Promise<void> {
    return settle((done) => fs.close(this.descriptor, done));
  }
}

function settle<T>(start: (done: (error: Error | null, result?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => start((error, result) => (error ? reject(error) : resolve(result as T))));
}
