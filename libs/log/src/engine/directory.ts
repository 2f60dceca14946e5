import { join, resolve } from 'node:path';
import { DiptychError, isDiptychError } from '@diptych/kernel';
import { damageError } from './damage.js';
import { LOCK_FILE } from './directory-lock.js';
import type { FileSystem } from './file-system.js';
import { errorCodeOf } from './file-system.js';

/*
 * What may lie in a log's directory:
 *
 *   0000000000000001.segment   named by its first revision
 *   *.segment.new              left by a crash while a segment was made; holds nothing
 *   lock.sqlite                see directory-lock.ts
 *   torn/                      what was cut off torn tails
 *
 * Anything else means that this is not a log's directory, or one of a later version: better to refuse than to guess.
 */

const TORN_DIRECTORY = 'torn';
/** Lies in a finished backup, and says what it is of. */
export const BACKUP_FILE = 'backup.json';
/** Lie in a directory while it is being filled. With any of the three a directory is no log. */
export const UNFINISHED_BACKUP = 'backup.unfinished';
export const UNFINISHED_RESTORE = 'restore.unfinished';

export function segmentName(firstRevision: number): string {
  return `${String(firstRevision).padStart(16, '0')}.segment`;
}

/**
 * Makes the directory if it is not there. Into one that holds anything else than a log nothing is written, not even a lock.
 *
 * @throws UNAVAILABLE when the directory cannot be made, is not one, or something else lies there
 */
export async function prepareDirectory(fileSystem: FileSystem, directory: string): Promise<void> {
  try {
    await fileSystem.makeDirectory(directory);
    await fileSystem.syncDirectory(resolve(directory, '..'));
    assertOnlyLog(directory, await fileSystem.list(directory));
  } catch (error) {
    if (isDiptychError(error)) throw error;
    throw new DiptychError('UNAVAILABLE', `the log directory ${directory} cannot be used: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * The paths of the segments, oldest first. What a crash left of an unfinished one is removed, once nothing else was found there.
 *
 * @throws UNAVAILABLE when something else lies there
 */
export async function listSegments(fileSystem: FileSystem, directory: string): Promise<Array<{ path: string; firstRevision: number }>> {
  const entries = await fileSystem.list(directory);
  assertOnlyLog(directory, entries);
  const segments: Array<{ path: string; firstRevision: number }> = [];
  for (const { name } of entries) {
    const match = SEGMENT_NAME.exec(name);
    if (!match) continue;
    if (match[2] === undefined) segments.push({ path: join(directory, name), firstRevision: Number(match[1]) });
    else await fileSystem.remove(join(directory, name));
  }
  return segments.sort((a, b) => a.firstRevision - b.firstRevision);
}

/**
 * The segments as they lie there now, oldest first, in a log or a backup. Changes nothing, so it may run beside whoever has the log open.
 *
 * @throws UNAVAILABLE when there is no directory, or no segment in it
 */
export async function findSegments(fileSystem: FileSystem, directory: string): Promise<Array<{ path: string; firstRevision: number }>> {
  const entries = await fileSystem.list(directory).catch((error: unknown) => {
    throw new DiptychError('UNAVAILABLE', `the directory ${directory} cannot be read: ${reasonOf(error)}`, { cause: error });
  });
  const segments = entries.flatMap(({ name }) => {
    const match = SEGMENT_NAME.exec(name);
    return match && match[2] === undefined ? [{ path: join(directory, name), firstRevision: Number(match[1]) }] : [];
  });
  if (segments.length === 0) throw new DiptychError('UNAVAILABLE', `the directory ${directory} holds no log: there is no segment in it`);
  return segments.sort((a, b) => a.firstRevision - b.firstRevision);
}

/** @throws UNAVAILABLE when something lies there that is not hidden, besides the lock and `allowed` */
export function assertEmpty(directory: string, names: readonly string[], allowed?: string): void {
  const other = names.find((name) => !isIgnored(name) && !isLock(name) && name !== allowed);
  if (other === undefined) return;
  throw new DiptychError('UNAVAILABLE', `the directory ${directory} is not empty: it holds ${other}; choose an empty one or a new name`);
}

/** Saves bytes that are about to be cut off, durably, and says where: in a file of this name, or of the next that is free. */
export async function saveTornBytes(
  fileSystem: FileSystem,
  directory: string,
  name: string,
  write: (path: string) => Promise<void>,
): Promise<string> {
  const torn = join(directory, TORN_DIRECTORY);
  await fileSystem.makeDirectory(torn);
  await fileSystem.syncDirectory(directory);
  // The wall clock may stand where it stood at an open that did not get further than this.
  const taken = new Set((await fileSystem.list(torn)).map((entry) => entry.name));
  let free = `${name}.bytes`;
  for (let count = 2; taken.has(free); count++) free = `${name}-${count}.bytes`;
  const path = join(torn, free);
  await write(path);
  await fileSystem.syncDirectory(torn);
  return path;
}

/** Of the files with what was cut off. */
export async function tornNames(fileSystem: FileSystem, directory: string): Promise<string[]> {
  const entries = await fileSystem.list(directory);
  if (!entries.some(({ name }) => name === TORN_DIRECTORY)) return [];
  return (await fileSystem.list(join(directory, TORN_DIRECTORY))).map(({ name }) => name);
}

/** The chain of segments has no hole. @throws INTERNAL that names the file that is missing */
export function assertNextSegment(directory: string, firstRevision: number, expected: number): void {
  if (firstRevision === expected) return;
  throw damageError(
    join(directory, segmentName(expected)),
    0,
    `the segment is missing; the next one there begins at revision ${firstRevision}`,
  );
}

export function reasonOf(error: unknown): string {
  const code = errorCodeOf(error);
  // Where a whole path is missing, file-system.ts says why, and no call of the system stands behind its error.
  const isOwn = code === 'ENOENT' && (error as NodeJS.ErrnoException).syscall === undefined;
  if (code && code in REASONS && !isOwn) return REASONS[code as keyof typeof REASONS];
  return error instanceof Error ? error.message : String(error);
}

const SEGMENT_NAME = /^([0-9]{16})\.segment(\.new)?$/;

const REASONS = {
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EROFS: 'the file system is read-only',
  ENOENT: 'it is not there',
  ENOTDIR: 'it is, or lies below, a file',
  EEXIST: 'it is a file',
  ENOSPC: 'no space is left on the disk',
  EMFILE: 'too many files are open',
} as const;

function assertOnlyLog(directory: string, entries: ReadonlyArray<{ readonly name: string; readonly directory: boolean }>): void {
  const foreign = entries.find((entry) => !isExpected(entry.name, entry.directory));
  if (!foreign) return;
  const special = SPECIAL[foreign.name];
  if (special) throw new DiptychError('UNAVAILABLE', `the directory ${directory} ${special}`);
  throw new DiptychError(
    'UNAVAILABLE',
    `the log directory ${directory} holds ${foreign.name}, which is no part of a log; choose an empty directory or move that away`,
  );
}

function isExpected(name: string, isDirectory: boolean): boolean {
  if (SEGMENT_NAME.test(name)) return !isDirectory;
  if (name === TORN_DIRECTORY) return isDirectory;
  return isIgnored(name) || isLock(name);
}

/** Hidden files are the desktop's, and a mounted file system has its own directory. */
function isIgnored(name: string): boolean {
  return name.startsWith('.') || name === 'lost+found';
}

function isLock(name: string): boolean {
  return name === LOCK_FILE || name.startsWith(`${LOCK_FILE}-`);
}

const SPECIAL: Readonly<Record<string, string>> = {
  [BACKUP_FILE]: 'holds a backup, which is no log: restore it into another directory (npm run log -- restore)',
  [UNFINISHED_BACKUP]: 'holds a backup that was not finished: remove it',
  [UNFINISHED_RESTORE]: 'holds a restore that was not finished: empty the directory and restore again',
};
