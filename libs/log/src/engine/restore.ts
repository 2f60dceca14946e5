import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { DiptychError } from '@diptych/kernel';
import type { BackupManifest } from './backup.js';
import { BACKUP_FORMAT } from './backup.js';
import { copySegments, fillDirectory } from './copy-log.js';
import { BACKUP_FILE, UNFINISHED_BACKUP, UNFINISHED_RESTORE, reasonOf } from './directory.js';
import type { FileSystem } from './file-system.js';
import { nodeFileSystem, readFully } from './file-system.js';
import type { Watching } from './snapshot.js';
import { Snapshot } from './snapshot.js';
import type { Verified } from './verify.js';

/**
 * Makes a log from a backup, in an empty directory, and reads it back. It has the backup's entries, revisions and remembered requests, and a new
 * incarnation: history after the backup goes another way than it once did, and readers have to notice.
 *
 * Until it is done a file in the directory keeps every process from opening it. A failure removes what was written.
 *
 * @throws UNAVAILABLE when there is no finished backup, or the target is not empty or in use; INTERNAL with file and offset on damage to the backup
 */
export async function restoreLog(
  backup: string,
  target: string,
  { signal, fileSystem = nodeFileSystem }: Watching & { fileSystem?: FileSystem } = {},
): Promise<Verified> {
  const manifest = await readManifest(fileSystem, backup);
  await using snapshot = await Snapshot.take(fileSystem, backup);
  assertComplete(backup, manifest, snapshot);
  return await fillDirectory({
    fileSystem,
    target,
    signal,
    what: 'restore',
    marker: UNFINISHED_RESTORE,
    lock: true,
    async copy(filling) {
      await copySegments(snapshot, filling, randomBytes(8).toString('hex'));
      return manifest.head;
    },
  });
}

async function readManifest(fileSystem: FileSystem, backup: string): Promise<BackupManifest> {
  const names = await namesIn(fileSystem, backup).catch((error: unknown) => {
    throw new DiptychError('UNAVAILABLE', `the backup ${backup} cannot be read: ${reasonOf(error)}`, { cause: error });
  });
  if (!names.includes(BACKUP_FILE) || names.includes(UNFINISHED_BACKUP))
    throw new DiptychError('UNAVAILABLE', `the directory ${backup} holds no finished backup (${BACKUP_FILE} is what makes it one)`);
  const path = join(backup, BACKUP_FILE);
  const file = await fileSystem.open(path, 'read');
  try {
    const bytes = Buffer.alloc(await file.size());
    await readFully(file, bytes, 0, bytes.length, 0);
    const manifest = JSON.parse(bytes.toString()) as Partial<BackupManifest>;
    if (manifest.format === BACKUP_FORMAT && manifest.version === 1 && Array.isArray(manifest.segments)) return manifest as BackupManifest;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  } finally {
    await file.close();
  }
  throw new DiptychError('UNAVAILABLE', `${path} is damaged, or of a later version of this program`);
}

function assertComplete(backup: string, manifest: BackupManifest, snapshot: Snapshot): void {
  const there = new Map(snapshot.segments.map(({ path, end }) => [basename(path), end]));
  for (const { name, bytes } of manifest.segments)
    if (there.get(name) !== bytes)
      throw new DiptychError(
        'INTERNAL',
        `the backup ${backup} is damaged: ${name} has ${there.get(name) ?? 'no'} whole bytes, and ${bytes} were written`,
      );
  if (there.size !== manifest.segments.length)
    throw new DiptychError('INTERNAL', `the backup ${backup} holds segments that are no part of it`);
}

async function namesIn(fileSystem: FileSystem, directory: string): Promise<string[]> {
  return (await fileSystem.list(directory)).map(({ name }) => name);
}
