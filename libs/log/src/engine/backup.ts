import { join, relative, resolve } from 'node:path';
import type { Clock } from '@diptych/kernel';
import { DiptychError, systemClock } from '@diptych/kernel';
import { writeMarker } from './copy-file.js';
import { copySegments, fillDirectory } from './copy-log.js';
import { BACKUP_FILE, UNFINISHED_BACKUP } from './directory.js';
import type { FileSystem } from './file-system.js';
import { errorCodeOf, nodeFileSystem, readFully } from './file-system.js';
import { openSegment } from './open-segment.js';
import { RECORD_BYTES_MAX } from './record-layout.js';
import { scanSegment } from './segment-scan.js';
import type { SnapshotSegment, Watching } from './snapshot.js';
import { Snapshot, isSameSegment } from './snapshot.js';
import type { Verified } from './verify.js';

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
  let manifest: BackupManifest;
  return await fillDirectory({
    fileSystem,
    target,
    signal,
    what: 'backup',
    marker: UNFINISHED_BACKUP,
    lock: false,
    async copy(filling) {
      const newest = snapshot.segments.at(-1)!;
      const { check, segments } = await copySegments(snapshot, filling).catch(async (error: unknown) => {
        // Taken back before it was copied, it reads like damage.
        if ((await lastWriteOf(fileSystem, newest)) === 'taken back') throw takenBack(newest);
        throw error;
      });
      const { head, incarnation, partition } = check;
      const madeAt = new Date(clock.wallMs()).toISOString();
      manifest = { format: BACKUP_FORMAT, version: 1, madeAt, incarnation: incarnation!, partition: partition!, head, segments };
      // A seal is written when all before it is durable.
      if (!check.sealed) await assertNotTakenBack(fileSystem, newest, clock);
      return head;
    },
    async onVerified({ written }) {
      const path = join(target, BACKUP_FILE);
      await writeMarker(fileSystem, path, `${JSON.stringify(manifest, null, 2)}\n`);
      written.push(path);
    },
  });
}

/**
 * The last write that was copied may have been under way still, and a full disk takes such a write back: then it was refused, and the backup must not hold it. It
 * counts as there for good when another write stands behind it, when its segment was compacted, or when it still is there after a while.
 */
async function assertNotTakenBack(fileSystem: FileSystem, newest: SnapshotSegment, clock: Clock): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += SETTLE_STEP_MS) {
    const last = await lastWriteOf(fileSystem, newest);
    if (last === 'taken back') throw takenBack(newest);
    if (last === 'durable' || waitedMs >= SETTLE_MS) return;
    await new Promise<void>((done) => clock.after(SETTLE_STEP_MS, done));
  }
}

function takenBack({ path }: SnapshotSegment): DiptychError {
  return new DiptychError('UNAVAILABLE', `the log in ${path} took its last write back while it was copied; run the backup again`);
}

async function lastWriteOf(fileSystem: FileSystem, newest: SnapshotSegment): Promise<'durable' | 'there' | 'taken back'> {
  const { path, reader, header, end } = newest;
  try {
    const now = await openSegment(fileSystem, path);
    try {
      if (!isSameSegment(now.header, header)) return 'durable';
      // In this order: what is found behind it counts only if it is there itself.
      const size = Math.min(await now.reader.size(), end + RECORD_BYTES_MAX);
      const { wholeEnd } = await scanSegment(now.reader, end, size, header.seed, () => undefined);
      const length = Math.min(end, TAIL_BYTES);
      const [before, after] = [Buffer.alloc(length), Buffer.alloc(length)];
      await readFully(reader, before, 0, length, end - length);
      const filled = await readFully(now.reader, after, 0, length, end - length);
      if (filled < length || !before.equals(after)) return 'taken back';
      return wholeEnd > end ? 'durable' : 'there';
    } finally {
      await now.reader.close();
    }
  } catch (error) {
    // Compacted meanwhile, so it was not the newest any more.
    if (errorCodeOf(error) === 'ENOENT') return 'durable';
    throw error;
  }
}

/** A file in the log's directory that is none of its own would keep the log from opening. */
function assertOutside(source: string, target: string): void {
  const path = relative(resolve(source), resolve(target));
  if (path !== '' && (path.startsWith('..') || resolve(path) === path)) return;
  throw new DiptychError('UNAVAILABLE', `the backup cannot be made inside the log's own directory ${source}`);
}

const SETTLE_MS = 250;
const SETTLE_STEP_MS = 25;
const TAIL_BYTES = 64 * 1024;
