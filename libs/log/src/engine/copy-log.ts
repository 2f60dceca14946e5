import { basename, join } from 'node:path';
import { DiptychError, isDiptychError } from '@diptych/kernel';
import { FileCopy, writeMarker } from './copy-file.js';
import { assertEmpty, reasonOf } from './directory.js';
import type { FileSystem } from './file-system.js';
import type { HistoryCheck } from './history-check.js';
import { finishRecord } from './record.js';
import { encodeSegmentHeader, segmentSeed } from './segment-header.js';
import type { Snapshot, Watching } from './snapshot.js';
import type { Verified } from './verify.js';
import { verifyLog } from './verify.js';

/*
 * What a backup and a restore have in common: a directory is filled as a whole or not at all.
 */

/** Takes down what is written, so that a failure takes it back; the last first. */
export interface Filling extends Watching {
  readonly fileSystem: FileSystem;
  readonly target: string;
  readonly written: string[];
}

/**
 * Fills an empty directory with a copy of a log, and reads it back. A marker keeps everyone from taking a part for the whole: it comes before everything else
 * and goes when all is done, or, after a failure, when everything else is gone.
 *
 * @param options.what for people: `backup` or `restore`
 * @param options.lock keeps other processes from beginning a log there meanwhile
 * @param options.copy returns the revision at which the copy has to end
 * @param options.onVerified writes what is still missing
 * @throws UNAVAILABLE when the target is not empty or cannot be written to, and what `copy` throws
 */
export async function fillDirectory(
  options: Watching & {
    readonly fileSystem: FileSystem;
    readonly target: string;
    readonly what: string;
    readonly marker: string;
    readonly lock: boolean;
    readonly copy: (filling: Filling) => Promise<number>;
    readonly onVerified?: (filling: Filling) => Promise<void>;
  },
): Promise<Verified> {
  const { fileSystem, target, what, signal } = options;
  const filling: Filling = { fileSystem, target, signal, written: [] };
  const { written } = filling;
  let lock: Disposable | undefined;
  try {
    await fileSystem.makeDirectory(target);
    await assertNothingIn(fileSystem, target);
    if (options.lock) {
      lock = fileSystem.lock(target);
      // Once more, now that nobody else can begin a log there.
      await assertNothingIn(fileSystem, target);
    }
    const marker = join(target, options.marker);
    await writeMarker(fileSystem, marker, '');
    written.push(marker);
    const head = await options.copy(filling);
    const verified = await verifyLog(target, { fileSystem, signal });
    if (verified.head !== head)
      throw new DiptychError('INTERNAL', `what the ${what} wrote into ${target} ends at revision ${verified.head}, not ${head}`);
    await options.onVerified?.(filling);
    signal?.throwIfAborted();
    await fileSystem.remove(marker);
    // Nothing is taken back from here on: without the marker a part would pass for the whole.
    written.length = 0;
    await fileSystem.syncDirectory(target);
    return verified;
  } catch (error) {
    for (const path of written.reverse()) await fileSystem.remove(path).catch(() => undefined);
    if (isDiptychError(error) || signal?.aborted) throw error;
    throw new DiptychError('UNAVAILABLE', `the ${what} into ${target} failed: ${reasonOf(error)}`, { cause: error });
  } finally {
    lock?.[Symbol.dispose]();
  }
}

/**
 * Copies the segments of a snapshot, durably.
 *
 * @param incarnation of the copy, whose seeds and checksums are then others; undefined: that of the log
 * @throws INTERNAL with file and offset at the first damage
 */
export async function copySegments(
  snapshot: Snapshot,
  { fileSystem, target, signal, written }: Filling,
  incarnation?: string,
): Promise<{ check: HistoryCheck; segments: Array<{ name: string; bytes: number }> }> {
  const segments: Array<{ name: string; bytes: number }> = [];
  let copy: FileCopy | undefined;
  let seed = 0;
  const finish = async () => {
    if (!copy) return;
    await copy.finish();
    segments.push({ name: basename(copy.path), bytes: copy.length });
    await copy.close();
    copy = undefined;
  };
  try {
    const check = await snapshot.read(
      (record) => {
        const { batch, batchEnd } = record;
        if (incarnation === undefined) copy!.addRecord(record);
        else copy!.addRecord(record, (block, offset, end) => finishRecord(block, offset, end, batch, batchEnd, seed));
      },
      {
        signal,
        async onSegment({ path, header }) {
          await finish();
          const name = join(target, basename(path));
          copy = await FileCopy.create(fileSystem, name);
          written.push(name);
          const bytes = encodeSegmentHeader({ ...header, incarnation: incarnation ?? header.incarnation });
          seed = segmentSeed(bytes);
          copy.add(bytes);
        },
        onWindow: () => copy!.flush(),
      },
    );
    await finish();
    await fileSystem.syncDirectory(target);
    return { check, segments };
  } finally {
    await copy?.close();
  }
}

async function assertNothingIn(fileSystem: FileSystem, target: string): Promise<void> {
  assertEmpty(
    target,
    (await fileSystem.list(target)).map(({ name }) => name),
  );
}
