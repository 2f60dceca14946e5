import { crc32 } from 'node:zlib';
import type { AppendRequest, Condition } from '../log.port.js';
import { CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX, REQUEST_ID_CHARS_MAX, VALUE_BYTES_MAX } from '../log.port.js';
import { writeHash128 } from './byte-hash.js';

/*
 * The layout of a record, and the only code that knows it. format.md describes it in words.
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

const CRC = 0;
const LENGTH = 4;
const MARKER = RECORD_MARKER_OFFSET;
const BATCH = 12;
const REVISION = 16;
const PREVIOUS = 24;
const WALL_MS = 32;
const HASH = 40;
const REQUEST_ID_BYTES = 56;
const FLAGS = 58;
/** From here to the end of the value is what the payload hash covers. */
const KIND = 60;
const KEY_BYTES = 62;
const CONTENT_TYPE_BYTES = 64;
const VALUE_BYTES = 68;
const CONDITION_CRC = 72;

const FLAG_BATCH_END = 1;
const FLAG_EXISTED = 2;
const LOOP_CHARS_MAX = 64;
const MARKER_LE = RECORD_MARKER.readUInt32LE(0);

/** Room that surely suffices for a request's record. */
export function recordBytesBound({ mutation, requestId }: AppendRequest): number {
  const head = RECORD_HEAD_BYTES + mutation.key.length * 3 + requestId.length;
  return mutation.kind === 'put' ? head + mutation.contentType.length * 3 + mutation.value.byteLength : head;
}

/** A buffer with the view of it that numbers are written through, which is several times quicker than the buffer's own methods. */
export interface RecordTarget {
  readonly bytes: Buffer;
  readonly view: DataView;
}

export function recordTarget(length: number): RecordTarget {
  const bytes = Buffer.allocUnsafeSlow(length);
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** Writes the parts of a record that come from the request; returns its length. `stampRecord` and `finishRecord` write the rest. */
export function encodeRecord({ bytes, view }: RecordTarget, offset: number, { mutation, condition, requestId }: AppendRequest): number {
  const keyStart = offset + RECORD_HEAD_BYTES;
  let end = keyStart + writeText(bytes, keyStart, mutation.key);
  const keyBytes = end - keyStart;
  let contentTypeBytes = 0;
  let valueBytes = 0;
  if (mutation.kind === 'put') {
    contentTypeBytes = writeText(bytes, end, mutation.contentType);
    end += contentTypeBytes;
    bytes.set(mutation.value, end);
    valueBytes = mutation.value.byteLength;
    end += valueBytes;
  }
  // Every byte of the head is written, those that mean nothing too: the buffer holds an older batch.
  view.setUint32(offset + MARKER, MARKER_LE, true);
  view.setUint32(offset + KIND, (mutation.kind === 'put' ? KIND_PUT : KIND_DELETE) | (keyBytes << 16), true);
  view.setUint32(offset + CONTENT_TYPE_BYTES, contentTypeBytes, true);
  view.setUint32(offset + VALUE_BYTES, valueBytes, true);
  view.setUint32(offset + CONDITION_CRC, condition ? crc32(canonical(condition)) : 0, true);
  writeHash128(view, offset + KIND, end, offset + HASH);
  const requestIdBytes = writeText(bytes, end, requestId);
  end += requestIdBytes;
  view.setUint32(offset + REQUEST_ID_BYTES, requestIdBytes, true);
  view.setUint32(offset + LENGTH, end - offset, true);
  return end - offset;
}

/** UTF-8; returns how many bytes. Most texts are short and ASCII, and a loop is quicker than a call out of JavaScript. */
function writeText(bytes: Buffer, start: number, text: string): number {
  if (text.length > LOOP_CHARS_MAX) return bytes.write(text, start, 'utf8');
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return bytes.write(text, start, 'utf8');
    bytes[start + i] = unit;
  }
  return text.length;
}

export function encodeSeal(target: Buffer, offset: number): number {
  target.fill(0, offset, offset + RECORD_HEAD_BYTES);
  target.writeUInt32LE(MARKER_LE, offset + MARKER);
  target[offset + KIND] = KIND_SEAL;
  target.writeUInt32LE(RECORD_HEAD_BYTES, offset + LENGTH);
  return RECORD_HEAD_BYTES;
}

/** The place of a record in history. */
export function stampRecord(
  target: Buffer,
  offset: number,
  stamp: { revision: number; previous: number; wallMs: number; existed: boolean },
): void {
  writeUint(target, stamp.revision, offset + REVISION);
  writeUint(target, stamp.previous, offset + PREVIOUS);
  writeUint(target, stamp.wallMs, offset + WALL_MS);
  if (stamp.existed) target[offset + FLAGS] = FLAG_EXISTED;
}

/** The place of a record in its segment, and the checksum over it all. */
export function finishRecord(target: Buffer, offset: number, end: number, batch: number, batchEnd: boolean, seed: number): void {
  target.writeUInt32LE(batch, offset + BATCH);
  if (batchEnd) target[offset + FLAGS]! |= FLAG_BATCH_END;
  target.writeUInt32LE(crc32(target.subarray(offset + LENGTH, end), seed), offset + CRC);
}

/** Gives a record that was copied from another segment its place in this one: what differs is its neighbours, not what it says. */
export function placeRecord(
  target: Buffer,
  offset: number,
  end: number,
  place: { previous: number; batch: number; batchEnd: boolean; seed: number },
): void {
  writeUint(target, place.previous, offset + PREVIOUS);
  target[offset + FLAGS]! &= ~FLAG_BATCH_END;
  finishRecord(target, offset, end, place.batch, place.batchEnd, place.seed);
}

/**
 * One record in a buffer, read field by field without copying. One view serves for any number of records: `at` moves it.
 */
export class RecordView {
  #bytes: Buffer = Buffer.alloc(0);
  #offset = 0;
  length = 0;

  /**
   * Moves to an offset and checks the record's form and checksum. What it finds there is
   * `whole`, `bad`, or `more`: the buffer ends before the record does.
   */
  at(bytes: Buffer, offset: number, end: number, seed: number): 'whole' | 'bad' | 'more' {
    if (end - offset < RECORD_HEAD_BYTES) return 'more';
    const length = bytes.readUInt32LE(offset + LENGTH);
    if (length < RECORD_HEAD_BYTES || length > RECORD_BYTES_MAX || bytes.readUInt32LE(offset + MARKER) !== MARKER_LE) return 'bad';
    if (end - offset < length) return 'more';
    if (crc32(bytes.subarray(offset + LENGTH, offset + length), seed) !== bytes.readUInt32LE(offset + CRC)) return 'bad';
    this.#bytes = bytes;
    this.#offset = offset;
    this.length = length;
    const parts = this.keyBytes + this.#contentTypeBytes + this.valueBytes + this.requestIdBytes;
    return parts + RECORD_HEAD_BYTES === length && this.kind >= KIND_PUT && this.kind <= KIND_TRACE ? 'whole' : 'bad';
  }

  get kind(): number {
    return this.#bytes[this.#offset + KIND]!;
  }

  get batch(): number {
    return this.#bytes.readUInt32LE(this.#offset + BATCH);
  }

  get batchEnd(): boolean {
    return (this.#bytes[this.#offset + FLAGS]! & FLAG_BATCH_END) !== 0;
  }

  get existed(): boolean {
    return (this.#bytes[this.#offset + FLAGS]! & FLAG_EXISTED) !== 0;
  }

  get revision(): number {
    return readUint(this.#bytes, this.#offset + REVISION);
  }

  get previous(): number {
    return readUint(this.#bytes, this.#offset + PREVIOUS);
  }

  get wallMs(): number {
    return readUint(this.#bytes, this.#offset + WALL_MS);
  }

  get valueBytes(): number {
    return this.#bytes.readUInt32LE(this.#offset + VALUE_BYTES);
  }

  /** A string of its own, not a slice of another. */
  get key(): string {
    const start = this.#offset + RECORD_HEAD_BYTES;
    return this.#bytes.toString('utf8', start, start + this.keyBytes);
  }

  /** Its UTF-8 bytes in the buffer that `at` was given: a view, no copy. */
  get keyView(): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.keyStart, this.keyBytes);
  }

  /** What `at` was given: key, request id and payload hash lie in it where the next getters say. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get keyStart(): number {
    return this.#offset + RECORD_HEAD_BYTES;
  }

  get keyBytes(): number {
    return this.#bytes.readUInt16LE(this.#offset + KEY_BYTES);
  }

  get requestIdStart(): number {
    return this.#offset + this.length - this.requestIdBytes;
  }

  get requestIdBytes(): number {
    return this.#bytes.readUInt16LE(this.#offset + REQUEST_ID_BYTES);
  }

  /** 16 bytes, of kind, condition, key, content type and value. */
  get hashStart(): number {
    return this.#offset + HASH;
  }

  get contentType(): string {
    const start = this.#offset + RECORD_HEAD_BYTES + this.keyBytes;
    return this.#bytes.toString('utf8', start, start + this.#contentTypeBytes);
  }

  get requestId(): string {
    const end = this.#offset + this.length;
    return this.#bytes.toString('latin1', end - this.requestIdBytes, end);
  }

  /** In the buffer that `at` was given: a view, no copy. */
  get value(): Uint8Array {
    const start = this.#offset + RECORD_HEAD_BYTES + this.keyBytes + this.#contentTypeBytes;
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + start, this.valueBytes);
  }

  /** Copies the whole record; `placeRecord` makes it one of another segment. Returns its length. */
  copyTo(target: Buffer, offset: number): number {
    return this.#bytes.copy(target, offset, this.#offset, this.#offset + this.length);
  }

  /** Copies what a repeat of its request must be answered with, and its key. Returns the length of that record. */
  traceTo(target: Buffer, offset: number): number {
    const head = RECORD_HEAD_BYTES + this.keyBytes;
    this.#bytes.copy(target, offset, this.#offset, this.#offset + head);
    const end = this.#offset + this.length;
    const length = head + this.#bytes.copy(target, offset + head, end - this.requestIdBytes, end);
    target[offset + KIND] = KIND_TRACE;
    target.writeUInt16LE(0, offset + CONTENT_TYPE_BYTES);
    target.writeUInt32LE(0, offset + VALUE_BYTES);
    target.writeUInt32LE(length, offset + LENGTH);
    return length;
  }

  get #contentTypeBytes(): number {
    return this.#bytes.readUInt16LE(this.#offset + CONTENT_TYPE_BYTES);
  }
}

/** Where the parts of a record lie that is not checked because this process wrote it. */
export function recordKeyBytes({ view }: RecordTarget, offset: number): number {
  return view.getUint16(offset + KEY_BYTES, true);
}

export function recordRequestIdBytes({ view }: RecordTarget, offset: number): number {
  return view.getUint16(offset + REQUEST_ID_BYTES, true);
}

export function recordHashStart(offset: number): number {
  return offset + HASH;
}

function canonical(condition: Condition): string {
  if (condition.kind !== 'ifRevision') return condition.kind;
  return condition.anyOf.map((position) => `${position.incarnation}-${position.partition}-${position.revision}`).join();
}

function writeUint(target: Buffer, value: number, offset: number): void {
  target.writeUInt32LE(value % 0x1_0000_0000, offset);
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

function readUint(source: Buffer, offset: number): number {
  return source.readUInt32LE(offset) + source.readUInt32LE(offset + 4) * 0x1_0000_0000;
}
