import type { FileSystem } from './file-system.js';
import { nodeFileSystem } from './file-system.js';
import { KIND_DELETE, KIND_PUT, KIND_SEAL } from './record-layout.js';
import type { RecordView } from './record-view.js';
import type { Watching } from './snapshot.js';
import { Snapshot } from './snapshot.js';

export interface DumpOptions extends Watching {
  /** False leaves the values out; their sizes stay. */
  readonly values?: boolean;
  /** Takes lines, each with its line break, and resolves when it has room for more. */
  readonly write: (lines: string) => Promise<void>;
  readonly fileSystem?: FileSystem;
}

/**
 * Every mutation that the log still holds, oldest first, one JSON object a line. Memory is bounded, whatever the log's size. Needs no lock.
 *
 * @throws as `verifyLog`; what was before the damage has been written by then
 */
export async function dumpLog(
  directory: string,
  { values = true, write, signal, fileSystem = nodeFileSystem }: DumpOptions,
): Promise<void> {
  await using snapshot = await Snapshot.take(fileSystem, directory);
  let lines = '';
  await snapshot.read(
    (record) => {
      if (record.kind !== KIND_SEAL) lines += `${JSON.stringify(describe(record, values))}\n`;
    },
    {
      signal,
      async onWindow() {
        const full = lines;
        lines = '';
        if (full !== '') await write(full);
      },
    },
  );
}

function describe(record: RecordView, values: boolean): Record<string, unknown> {
  const { kind, revision, key, requestId, existed, wallMs } = record;
  const common = { revision, key, existed, requestId, time: new Date(wallMs).toISOString() };
  if (kind === KIND_DELETE) return { kind: 'delete', ...common };
  if (kind !== KIND_PUT) return { kind: 'superseded put', ...common };
  const { value, valueBytes, contentType } = record;
  return {
    kind: 'put',
    ...common,
    contentType,
    valueBytes,
    ...(values && { value: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }),
  };
}
