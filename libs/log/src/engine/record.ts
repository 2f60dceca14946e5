import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { AppendRequest, Condition } from '../log.port.js';
import { CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX, REQUEST_ID_CHARS_MAX, VALUE_BYTES_MAX } from '../log.port.js';

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
const HASH_BYTES = 16;
const MARKER_LE = RECORD_MARKER.readUInt32LE(0);

/** Room that surely suffices for a request's record. */
export function recordBytesBound({ mutation, requestId }: AppendRequest): number {
  const head = RECORD_HEAD_BYTES + mutation.key.length * 3 + requestId.length;
  return mutation.kind === 'put' ? head + mutation.contentType.length * 3 + mutation.value.byteLength : head;
}

/** Writes the parts of a record that come from the request; returns its length. `stampRecord` and `finishRecord` write the rest. */
export function encodeRecord(target: Buffer, offset: number, { mutation, condition, requestId }: AppendRequest): number {
  target.fill(0, offset, offset + RECORD_HEAD_BYTES);
  target.writeUInt32LE(MARKER_LE, offset + MARKER);
  let end = offset + RECORD_HEAD_BYTES;
  const keyBytes = target.write(mutation.key, end, 'utf8');
  end += keyBytes;
  target.writeUInt16LE(keyBytes, offset + KEY_BYTES);
  if (mutation.kind === 'put') {
    const contentTypeBytes = target.write(mutation.contentType, end, 'utf8');
    end += contentTypeBytes;
    target.writeUInt16LE(contentTypeBytes, offset + CONTENT_TYPE_BYTES);
    target.set(mutation.value, end);
    end += mutation.value.byteLength;
    target.writeUInt32LE(mutation.value.byteLength, offset + VALUE_BYTES);
  }
  target[offset + KIND] = mutation.kind === 'put' ? KIND_PUT : KIND_DELETE;
  if (condition) target.writeUInt32LE(crc32(canonical(condition)), offset + CONDITION_CRC);
  const payloadHash = hash('sha256', target.subarray(offset + KIND, end), 'binary');
  target.write(payloadHash.slice(0, HASH_BYTES), offset + HASH, 'latin1');
  const requestIdBytes = target.write(requestId, end, 'latin1');
  end += requestIdBytes;
  target.writeUInt16LE(requestIdBytes, offset + REQUEST_ID_BYTES);
  target.writeUInt32LE(end - offset, offset + LENGTH);
  return end - offset;
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
    const parts = this.#keyBytes + this.#contentTypeBytes + this.valueBytes + this.#requestIdBytes;
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
    return this.#bytes.toString('utf8', start, start + this.#keyBytes);
  }

  /** Its UTF-8 bytes in the buffer that `at` was given: a view, no copy. */
  get keyView(): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.#offset + RECORD_HEAD_BYTES, this.#keyBytes);
  }

  get contentType(): string {
    const start = this.#offset + RECORD_HEAD_BYTES + this.#keyBytes;
    return this.#bytes.toString('utf8', start, start + this.#contentTypeBytes);
  }

  get requestId(): string {
    const end = this.#offset + this.length;
    return this.#bytes.toString('latin1', end - this.#requestIdBytes, end);
  }

  /** Of kind, condition, key, content type and value: the first 16 bytes of their SHA-256, a character a byte. */
  get hash(): string {
    return recordHash(this.#bytes, this.#offset);
  }

  /** In the buffer that `at` was given: a view, no copy. */
  get value(): Uint8Array {
    const start = this.#offset + RECORD_HEAD_BYTES + this.#keyBytes + this.#contentTypeBytes;
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + start, this.valueBytes);
  }

  /** Copies the whole record; `placeRecord` makes it one of another segment. Returns its length. */
  copyTo(target: Buffer, offset: number): number {
    return this.#bytes.copy(target, offset, this.#offset, this.#offset + this.length);
  }

  /** Copies what a repeat of its request must be answered with, and its key. Returns the length of that record. */
  traceTo(target: Buffer, offset: number): number {
    const head = RECORD_HEAD_BYTES + this.#keyBytes;
    this.#bytes.copy(target, offset, this.#offset, this.#offset + head);
    const end = this.#offset + this.length;
    const length = head + this.#bytes.copy(target, offset + head, end - this.#requestIdBytes, end);
    target[offset + KIND] = KIND_TRACE;
    target.writeUInt16LE(0, offset + CONTENT_TYPE_BYTES);
    target.writeUInt32LE(0, offset + VALUE_BYTES);
    target.writeUInt32LE(length, offset + LENGTH);
    return length;
  }

  get #keyBytes(): number {
    return this.#bytes.readUInt16LE(this.#offset + KEY_BYTES);
  }

  get #contentTypeBytes(): number {
    return this.#bytes.readUInt16LE(this.#offset + CONTENT_TYPE_BYTES);
  }

  get #requestIdBytes(): number {
    return this.#bytes.readUInt16LE(this.#offset + REQUEST_ID_BYTES);
  }
}

/** Of a record that `encodeRecord` wrote. */
export function recordHash(bytes: Buffer, offset: number): string {
  return bytes.toString('latin1', offset + HASH, offset + HASH + HASH_BYTES);
}

/** A fresh copy of the key of a record that `encodeRecord` wrote. */
export function recordKey(bytes: Buffer, offset: number): string {
  const start = offset + RECORD_HEAD_BYTES;
  return bytes.toString('utf8', start, start + bytes.readUInt16LE(offset + KEY_BYTES));
}

/** A fresh copy of the request id of a record that `encodeRecord` wrote. */
export function recordRequestId(bytes: Buffer, offset: number, end: number): string {
  return bytes.toString('latin1', end - bytes.readUInt16LE(offset + REQUEST_ID_BYTES), end);
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
