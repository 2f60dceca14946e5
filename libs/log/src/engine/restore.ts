import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { DiptychError, isDiptychError } from '@diptych/kernel';
import type { BackupManifest } from './backup.js';
import { BACKUP_FORMAT } from './backup.js';
import { FileCopy, writeMarker } from './copy-file.js';
import { BACKUP_FILE, UNFINISHED_BACKUP, UNFINISHED_RESTORE, assertEmpty, reasonOf } from './directory.js';
import type { FileSystem } from './file-system.js';
import { nodeFileSystem, readFully } from './file-system.js';
import { finishRecord } from './record.js';
import { encodeSegmentHeader, segmentSeed } from './segment-header.js';
import type { Watching } from './snapshot.js';
import { Snapshot } from './snapshot.js';
import type { Verified } from './verify.js';
import { verifyLog } from './verify.js';

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
  const written: string[] = [];
  let lock: Disposable | undefined;
  try {
    await fileSystem.makeDirectory(target);
    assertEmpty(target, await namesIn(fileSystem, target));
    lock = fileSystem.lock(target);
    // Once more, now that nobody else can begin a log there.
    assertEmpty(target, await namesIn(fileSystem, target));
    const unfinished = join(target, UNFINISHED_RESTORE);
    await writeMarker(fileSystem, unfinished, '');
    written.push(unfinished);
    await copyAnew(fileSystem, snapshot, target, written, signal);
    await fileSystem.syncDirectory(target);
    const verified = await verifyLog(target, { fileSystem, signal });
    if (verified.head !== manifest.head)
      throw new DiptychError('INTERNAL', `what was restored into ${target} ends at revision ${verified.head}, not ${manifest.head}`);
    signal?.throwIfAborted();
    await fileSystem.remove(unfinished);
    // Nothing is taken back from here on: without the marker a part would pass for the whole.
    written.length = 0;
    await fileSystem.syncDirectory(target);
    return verified;
  } catch (error) {
    // The marker goes last, so that no part is ever taken for a log.
    for (const path of written.reverse()) await fileSystem.remove(path).catch(() => undefined);
    if (isDiptychError(error) || signal?.aborted) throw error;
    throw new DiptychError('UNAVAILABLE', `the restore into ${target} failed: ${reasonOf(error)}`, { cause: error });
  } finally {
    lock?.[Symbol.dispose]();
  }
}

/** Under another incarnation, and so with other seeds and checksums. */
async function copyAnew(
  fileSystem: FileSystem,
  snapshot: Snapshot,
  target: string,
  written: string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const incarnation = randomBytes(8).toString('hex');
  let copy: FileCopy | undefined;
  let seed = 0;
  const finish = async () => {
    await copy?.finish();
    await copy?.close();
    copy = undefined;
  };
  try {
    await snapshot.read(
      (record) => copy!.addRecord(record, (bytes, offset, end) => finishRecord(bytes, offset, end, record.batch, record.batchEnd, seed)),
      {
        signal,
        async onSegment({ path, header }) {
          await finish();
          const name = join(target, basename(path));
          copy = await FileCopy.create(fileSystem, name);
          written.push(name);
          const bytes = encodeSegmentHeader({ ...header, incarnation });
          seed = segmentSeed(bytes);
          copy.add(bytes);
        },
        onWindow: () => copy!.flush(),
      },
    );
    await finish();
  } finally {
    await copy?.close();
  }
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
