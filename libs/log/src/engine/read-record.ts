import { unreadableError } from './damage.js';
import { readFully } from './file-system.js';
import type { Location } from './key-index.js';
import { RecordView } from './record-view.js';
import type { Segment } from './segment-store.js';

/** Reads one entry's value from its segment and checks it. @throws INTERNAL when it is not as it was written */
export async function readRecord(
  segments: ReadonlyArray<Segment | undefined>,
  key: string,
  location: Location,
): Promise<{ contentType: string; value: Uint8Array }> {
  const { path, reader, seed } = segments[location.segment]!;
  // Of its own, not from Node's pool: the value that goes out is a view of it.
  const bytes = Buffer.allocUnsafeSlow(location.recordBytes);
  let filled = await reader.read(bytes, 0, bytes.length, location.offset);
  if (filled < bytes.length) filled += await readFully(reader, bytes, filled, bytes.length - filled, location.offset + filled);
  const record = new RecordView();
  if (record.at(bytes, 0, filled, seed) !== 'whole' || record.revision !== location.revision || record.key !== key)
    throw unreadableError(path, location.offset);
  return { contentType: record.contentType, value: record.value };
}
