import type { Entry, ReadReply } from '@diptych/log';

/**
 * What the log answered, as the bytes that threads share:
 *
 *   f64 revision of `asOf` │ f64 revision of the entry, or -1: absent │ u32 epoch │ u16 length of the content type │ content type, UTF-8 │ value
 *
 * Incarnation and partition are the same for all, so they are not in here.
 *
 * @param epoch of the shared history when the read began
 */
export function packReply({ entry, asOf }: ReadReply, epoch: number): Buffer {
  const contentType = entry?.contentType ?? '';
  const typeBytes = Buffer.byteLength(contentType);
  const packed = Buffer.allocUnsafe(HEADER_BYTES + typeBytes + (entry?.value.byteLength ?? 0));
  packed.writeDoubleLE(asOf.revision, 0);
  packed.writeDoubleLE(entry?.revision ?? ABSENT, 8);
  packed.writeUInt32LE(epoch, 16);
  packed.writeUInt16LE(typeBytes, 20);
  packed.write(contentType, HEADER_BYTES);
  if (entry) packed.set(entry.value, HEADER_BYTES + typeBytes);
  return packed;
}

/** The revision that the packed answer shows. */
export function revisionOf(packed: Buffer): number {
  return packed.readDoubleLE(0);
}

export function epochOf(packed: Buffer): number {
  return packed.readUInt32LE(16);
}

/** Its value is a part of `packed`. */
export function entryOf(packed: Buffer, key: string): Entry | undefined {
  const revision = packed.readDoubleLE(8);
  if (revision === ABSENT) return undefined;
  const valueAt = HEADER_BYTES + packed.readUInt16LE(20);
  return { key, value: packed.subarray(valueAt), contentType: packed.toString('utf8', HEADER_BYTES, valueAt), revision };
}

const HEADER_BYTES = 22;
const ABSENT = -1;
