import { crc32 } from 'node:zlib';
import { CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX, REQUEST_ID_CHARS_MAX, VALUE_BYTES_MAX } from '../log.port.js';

/*
 * The layout of a record; record.ts writes it, record-view.ts reads it, and no other code knows it. format.md describes it in words.
 */

export const KIND_PUT = 1;
export const KIND_DELETE = 2;
/** No mutation: says that all before it was synced. Its revision is the head's. */
export const KIND_SEAL = 3;
/** What compaction leaves of a superseded put for the dedupe window: all but content type and value. */
export const KIND_TRACE = 4;

export const RECORD_HEAD_BYTES = 76;
export const RECORD_BYTES_MAX = RECORD_HEAD_BYTES + KEY_BYTES_MAX + CONTENT_TYPE_BYTES_MAX + VALUE_BYTES_MAX + REQUEST_ID_CHARS_MAX;
/** Of a payload hash. */
export const HASH_BYTES = 16;
/** At RECORD_MARKER_OFFSET of every record, to find records by when lengths cannot be trusted. */
export const RECORD_MARKER = Buffer.from([0xd1, 0x97, 0x1c, 0x9e]);
export const RECORD_MARKER_OFFSET = 8;
/** What room is filled with: not zero, as what a disk has lost reads as zeros; and no record begins with it, by its length and its marker. */
export const ROOM_BYTE = 0xa5;

/** Where the fields lie. */
export const FIELD = {
  crc: 0,
  length: 4,
  marker: RECORD_MARKER_OFFSET,
  batch: 12,
  revision: 16,
  previous: 24,
  wallMs: 32,
  hash: 40,
  requestIdBytes: 56,
  flags: 58,
  /** From here to the end of the value is what the payload hash covers. */
  kind: 60,
  keyBytes: 62,
  contentTypeBytes: 64,
  valueBytes: 68,
  conditionCrc: 72,
} as const;

export const FLAG_BATCH_END = 1;
export const FLAG_EXISTED = 2;
export const MARKER_LE = RECORD_MARKER.readUInt32LE(0);

/** The checksum that belongs into a record. */
export function crcOf(bytes: Buffer, offset: number, length: number, seed: number): number {
  return crc32(new Uint8Array(bytes.buffer, bytes.byteOffset + offset + FIELD.length, length - FIELD.length), seed);
}

/** A safe integer in eight bytes. What is written as 32 bits is taken modulo 2^32 by `setUint32` itself. */
export function writeUint(view: DataView, value: number, offset: number): void {
  view.setUint32(offset, value, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

export function readUint(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}
