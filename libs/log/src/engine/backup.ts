import { basename, join, relative, resolve } from 'node:path';
import type { Clock } from '@diptych/kernel';
import { DiptychError, isDiptychError, systemClock } from '@diptych/kernel';
import { FileCopy, writeMarker } from './copy-file.js';
import { BACKUP_FILE, UNFINISHED_BACKUP, assertEmpty, reasonOf } from './directory.js';
import type { FileSystem } from './file-system.js';
import { errorCodeOf, nodeFileSystem, readFully } from './file-system.js';
import { openSegment } from './open-segment.js';
import { encodeSegmentHeader } from './segment-header.js';
import type { SnapshotSegment, Watching } from './snapshot.js';
import { Snapshot, isSameSegment } from './snapshot.js';
import type { Verified } from './verify.js';
import { verifyLog } from './verify.js';

/** What `backup.json` says. */
export interface BackupManifest {
  readonly format: typeof BACKUP_FORMAT;
  readonly version: 1;
  readonly madeAt: string;
  readonly incarnation: string;
  readonly partition: number;
  /** The revision that the backup shows. */
  readonly head: number;
  readonly segments: ReadonlyArray<{ readonly name: string; readonly bytes: number }>;
}

export const BACKUP_FORMAT = 'diptych-log-backup';

export interface BackupOptions extends Watching {
  readonly fileSystem?: FileSystem;
  readonly clock?: Clock;
}

/**
 * Copies a log as it is at one moment into an empty directory, while its process goes on appending and compacting, and reads the copy back. It holds every
 * append that was acknowledged before the call.
 *
 * Until `backup.json` is there, which is written last, the directory holds no backup. A failure removes what was written.
 *
 * @throws UNAVAILABLE when there is no log, the target is not empty or cannot be written to; INTERNAL with file and offset on damage to the log
 */
export async function backupLog(source: string, target: string, options: BackupOptions = {}): Promise<Verified> {
  const { fileSystem = nodeFileSystem, clock = systemClock, signal } = options;
  assertOutside(source, target);
  await using snapshot = await Snapshot.take(fileSystem, source);
  const written: string[] = [];
  try {
    await fileSystem.makeDirectory(target);
    assertEmpty(
      target,
      (await fileSystem.list(target)).map(({ name }) => name),
    );
    const unfinished = join(target, UNFINISHED_BACKUP);
    await writeMarker(fileSystem, unfinished, '');
    written.push(unfinished);
    const manifest = await copySegments(snapshot, target, written, options);
    await fileSystem.syncDirectory(target);
    await assertNotTakenBack(fileSystem, snapshot.segments.at(-1)!, clock);
    const verified = await verifyLog(target, { fileSystem, signal });
    if (verified.head !== manifest.head)
      throw new DiptychError('INTERNAL', `the copy in ${target} ends at revision ${verified.head}, not ${manifest.head}`);
    await writeMarker(
      fileSystem,
      join(target, BACKUP_FILE),
      `${JSON.stringify({ ...manifest, madeAt: new Date(clock.wallMs()).toISOString() }, null, 2)}\n`,
    );
    written.push(join(target, BACKUP_FILE));
    signal?.throwIfAborted();
    await fileSystem.remove(unfinished);
    // Nothing is taken back from here on: without the marker a part would pass for the whole.
    written.length = 0;
    await fileSystem.syncDirectory(target);
    return verified;
  } catch (error) {
    // The marker that makes it no log goes last.
    for (const path of written.reverse()) await fileSystem.remove(path).catch(() => undefined);
    if (isDiptychError(error) || signal?.aborted) throw error;
    throw new DiptychError('UNAVAILABLE', `the backup into ${target} failed: ${reasonOf(error)}`, { cause: error });
  }
}

async function copySegments(
  snapshot: Snapshot,
  target: string,
  written: string[],
  { fileSystem = nodeFileSystem, signal }: BackupOptions,
): Promise<BackupManifest> {
  const segments: Array<{ name: string; bytes: number }> = [];
  let copy: FileCopy | undefined;
  const finish = async () => {
    if (!copy) return;
    await copy.finish();
    segments.push({ name: basename(copy.path), bytes: copy.length });
    await copy.close();
    copy = undefined;
  };
  try {
    const check = await snapshot.read((record) => copy!.addRecord(record), {
      signal,
      async onSegment({ path, header }) {
        await finish();
        const name = join(target, basename(path));
        copy = await FileCopy.create(fileSystem, name);
        written.push(name);
        copy.add(encodeSegmentHeader(header));
      },
      onWindow: () => copy!.flush(),
    });
    await finish();
    const { head, incarnation, partition } = check;
    return { format: BACKUP_FORMAT, version: 1, madeAt: '', incarnation: incarnation!, partition: partition!, head, segments };
  } finally {
    await copy?.close();
  }
}

/**
 * The last write that was copied may have been under way still, and a full disk takes such a write back: then it was refused, and the backup must not hold it. It
 * counts as there for good when it still is after a while, or when another segment has been begun behind it.
 */
async function assertNotTakenBack(fileSystem: FileSystem, newest: SnapshotSegment, clock: Clock): Promise<void> {
  await new Promise<void>((done) => clock.after(SETTLE_MS, done));
  const { path, reader, header, end } = newest;
  try {
    const now = await openSegment(fileSystem, path);
    try {
      if (!isSameSegment(now.header, header)) return;
      const length = Math.min(end, TAIL_BYTES);
      const [before, after] = [Buffer.alloc(length), Buffer.alloc(length)];
      await readFully(reader, before, 0, length, end - length);
      await readFully(now.reader, after, 0, length, end - length);
      if (before.equals(after) && (await now.reader.size()) >= end) return;
    } finally {
      await now.reader.close();
    }
  } catch (error) {
    // Compacted meanwhile, so it was not the newest any more.
    if (errorCodeOf(error) === 'ENOENT') return;
    throw error;
  }
  throw new DiptychError('UNAVAILABLE', `the log in ${path} took its last write back while it was copied; run the backup again`);
}

/** A file in the log's directory that is none of its own would keep the log from opening. */
function assertOutside(source: string, target: string): void {
  const path = relative(resolve(source), resolve(target));
  if (path !== '' && (path.startsWith('..') || resolve(path) === path)) return;
  throw new DiptychError('UNAVAILABLE', `the backup cannot be made inside the log's own directory ${source}`);
}

const SETTLE_MS = 250;
const TAIL_BYTES = 64 * 1024;
