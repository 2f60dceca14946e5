import { hasCode } from '@diptych/kernel';
import type { FileSystem } from './file-system.js';
import { nodeFileSystem } from './file-system.js';
import { KIND_SEAL } from './record-layout.js';
import type { UnfinishedWrite, Watching } from './snapshot.js';
import { Snapshot } from './snapshot.js';

export interface Verified {
  readonly incarnation: string;
  readonly partition: number;
  readonly head: number;
  readonly segments: number;
  readonly records: number;
  readonly bytes: number;
  readonly unfinished: UnfinishedWrite | undefined;
  readonly leftovers: readonly string[];
}

/**
 * Reads and checks every byte of a log or a backup, changes nothing, and needs no lock: the log may be open and written to. It reads what was complete
 * when it began.
 *
 * @throws INTERNAL with file and offset at the first damage; UNAVAILABLE when there is no log or it cannot be read
 */
export async function verifyLog(directory: string, options: Watching & { fileSystem?: FileSystem } = {}): Promise<Verified> {
  let damage: string | undefined;
  for (;;) {
    try {
      return await verifyOnce(directory, options);
    } catch (error) {
      // A log that cuts off a failed write and writes on, in just this moment, looks damaged once; damage looks so twice.
      if (!hasCode(error, 'INTERNAL') || (error as Error).message === damage) throw error;
      damage = (error as Error).message;
    }
  }
}

async function verifyOnce(
  directory: string,
  { signal, fileSystem = nodeFileSystem }: Watching & { fileSystem?: FileSystem },
): Promise<Verified> {
  await using snapshot = await Snapshot.take(fileSystem, directory);
  let records = 0;
  const check = await snapshot.read((record) => (records += record.kind === KIND_SEAL ? 0 : 1), { signal });
  return {
    incarnation: check.incarnation!,
    partition: check.partition!,
    head: check.head,
    segments: snapshot.segments.length,
    records,
    bytes: snapshot.segments.reduce((sum, { end }) => sum + end, 0),
    unfinished: snapshot.unfinished,
    leftovers: snapshot.leftovers,
  };
}
