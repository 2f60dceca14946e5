import { crc32 } from 'node:zlib';
import type { AppendRequest, Condition } from '../log.port.js';
import type { ByteBlock } from './byte-block.js';
import { writeHash128 } from './byte-hash.js';
import {
  FIELD,
  FLAG_BATCH_END,
  FLAG_EXISTED,
  KIND_DELETE,
  KIND_PUT,
  KIND_SEAL,
  MARKER_LE,
  RECORD_HEAD_BYTES,
  crcOf,
  writeUint,
} from './record-layout.js';

/** Room that surely suffices for a request's record. */
export function recordBytesBound({ mutation, requestId }: AppendRequest): number {
  const head = RECORD_HEAD_BYTES + mutation.key.length * 3 + requestId.length;
  return mutation.kind === 'put' ? head + mutation.contentType.length * 3 + mutation.value.byteLength : head;
}

/** Writes the parts of a record that come from the request; returns its length. `stampRecord`, `markBatch` and `completeRecords` write the rest. */
export function encodeRecord({ bytes, view }: ByteBlock, offset: number, { mutation, condition, requestId }: AppendRequest): number {
  const keyStart = offset + RECORD_HEAD_BYTES;
  let end = keyStart + writeText(bytes, view, keyStart, mutation.key);
  const keyBytes = end - keyStart;
  let contentTypeBytes = 0;
  let valueBytes = 0;
  if (mutation.kind === 'put') {
    contentTypeBytes = writeText(bytes, view, end, mutation.contentType);
    end += contentTypeBytes;
    bytes.set(mutation.value, end);
    valueBytes = mutation.value.byteLength;
    end += valueBytes;
  }
  // Every byte of the head is written, those that mean nothing too: the buffer holds an older batch.
  view.setUint32(offset + FIELD.marker, MARKER_LE, true);
  view.setUint32(offset + FIELD.kind, (mutation.kind === 'put' ? KIND_PUT : KIND_DELETE) | (keyBytes << 16), true);
  view.setUint32(offset + FIELD.contentTypeBytes, contentTypeBytes, true);
  view.setUint32(offset + FIELD.valueBytes, valueBytes, true);
  view.setUint32(offset + FIELD.conditionCrc, condition ? crc32(canonical(condition)) : 0, true);
  const requestIdBytes = writeText(bytes, view, end, requestId);
  end += requestIdBytes;
  view.setUint32(offset + FIELD.requestIdBytes, requestIdBytes, true);
  view.setUint32(offset + FIELD.length, end - offset, true);
  return end - offset;
}

/** UTF-8; returns how many bytes. Most texts are short and ASCII, and a loop, four characters a turn, is quicker than a call out of JavaScript. */
function writeText(bytes: Buffer, view: DataView, start: number, text: string): number {
  const { length } = text;
  if (length > LOOP_CHARS_MAX) return bytes.write(text, start, 'utf8');
  let units = 0;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    const [a, b, c, d] = [text.charCodeAt(i), text.charCodeAt(i + 1), text.charCodeAt(i + 2), text.charCodeAt(i + 3)];
    units |= a | b | c | d;
    view.setInt32(start + i, a | (b << 8) | (c << 16) | (d << 24), true);
  }
  for (; i < length; i++) {
    const unit = text.charCodeAt(i);
    units |= unit;
    bytes[start + i] = unit;
  }
  return units > 0x7f ? bytes.write(text, start, 'utf8') : length;
}

export function encodeSeal({ bytes, view }: ByteBlock, offset: number): number {
  bytes.fill(0, offset, offset + RECORD_HEAD_BYTES);
  view.setUint32(offset + FIELD.marker, MARKER_LE, true);
  view.setUint8(offset + FIELD.kind, KIND_SEAL);
  view.setUint32(offset + FIELD.length, RECORD_HEAD_BYTES, true);
  return RECORD_HEAD_BYTES;
}

/** The place of a record in history. */
export function stampRecord(
  { view }: ByteBlock,
  offset: number,
  revision: number,
  previous: number,
  wallMs: number,
  existed: boolean,
): void {
  writeUint(view, revision, offset + FIELD.revision);
  writeUint(view, previous, offset + FIELD.previous);
  writeUint(view, wallMs, offset + FIELD.wallMs);
  if (existed) view.setUint8(offset + FIELD.flags, FLAG_EXISTED);
}

/** The place of a record in its segment. */
export function markBatch({ view }: ByteBlock, offset: number, batch: number, batchEnd: boolean): void {
  view.setUint32(offset + FIELD.batch, batch, true);
  if (batchEnd) view.setUint8(offset + FIELD.flags, view.getUint8(offset + FIELD.flags) | FLAG_BATCH_END);
}

/** Writes what follows from all the rest of records one after the other, `length` bytes of them: payload hashes and checksums. Safe to repeat. */
export function completeRecords(block: ByteBlock, length: number, seed: number): void {
  const { bytes, view } = block;
  for (let offset = 0; offset < length;) {
    const recordBytes = view.getUint32(offset + FIELD.length, true);
    writePayloadHash(view, offset);
    view.setUint32(offset + FIELD.crc, crcOf(bytes, offset, recordBytes, seed), true);
    offset += recordBytes;
  }
}

/** Of kind, condition, key, content type and value. A seal has none. */
export function writePayloadHash(view: DataView, offset: number): void {
  if (view.getUint8(offset + FIELD.kind) === KIND_SEAL) return;
  const textBytes = view.getUint16(offset + FIELD.keyBytes, true) + view.getUint16(offset + FIELD.contentTypeBytes, true);
  const end = offset + RECORD_HEAD_BYTES + textBytes + view.getUint32(offset + FIELD.valueBytes, true);
  writeHash128(view, offset + FIELD.kind, end, offset + FIELD.hash);
}

/** The place of a record in its segment, and the checksum over it all. */
export function finishRecord(block: ByteBlock, offset: number, end: number, batch: number, batchEnd: boolean, seed: number): void {
  const { bytes, view } = block;
  markBatch(block, offset, batch, batchEnd);
  view.setUint32(offset + FIELD.crc, crcOf(bytes, offset, end - offset, seed), true);
}

/** Gives a record that was copied from another segment its place in this one: what differs is its neighbours, not what it says. */
export function placeRecord(
  block: ByteBlock,
  offset: number,
  end: number,
  place: { previous: number; batch: number; batchEnd: boolean; seed: number },
): void {
  const { view } = block;
  writeUint(view, place.previous, offset + FIELD.previous);
  view.setUint8(offset + FIELD.flags, view.getUint8(offset + FIELD.flags) & ~FLAG_BATCH_END);
  finishRecord(block, offset, end, place.batch, place.batchEnd, place.seed);
}

/** Where the parts of a record lie that is not checked because this process wrote it. */
export function recordKeyBytes(view: DataView, offset: number): number {
  return view.getUint16(offset + FIELD.keyBytes, true);
}

export function recordRequestIdBytes(view: DataView, offset: number): number {
  return view.getUint16(offset + FIELD.requestIdBytes, true);
}

export function recordValueBytes(view: DataView, offset: number): number {
  return view.getUint32(offset + FIELD.valueBytes, true);
}

export function recordHashStart(offset: number): number {
  return offset + FIELD.hash;
}

function canonical(condition: Condition): string {
  if (condition.kind !== 'ifRevision') return condition.kind;
  return condition.anyOf.map((position) => `${position.incarnation}-${position.partition}-${position.revision}`).join();
}

const LOOP_CHARS_MAX = 64;
