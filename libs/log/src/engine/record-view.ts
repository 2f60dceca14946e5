import type { ByteBlock } from './byte-block.js';
import { blockOf } from './byte-block.js';
import {
  FIELD,
  FLAG_BATCH_END,
  FLAG_EXISTED,
  KIND_PUT,
  KIND_TRACE,
  MARKER_LE,
  RECORD_BYTES_MAX,
  RECORD_HEAD_BYTES,
  crcOf,
  readUint,
} from './record-layout.js';

/**
 * One record in a buffer, read field by field without copying. One view serves for any number of records: `at` moves it.
 */
export class RecordView {
  #bytes: Buffer = EMPTY.bytes;
  #view: DataView = EMPTY.view;
  #offset = 0;
  length = 0;

  /**
   * Moves to an offset and checks the record's form and checksum. What it finds there is
   * `whole`, `bad`, or `more`: the buffer ends before the record does.
   */
  at(bytes: Buffer, offset: number, end: number, seed: number): 'whole' | 'bad' | 'more' {
    if (end - offset < RECORD_HEAD_BYTES) return 'more';
    if (bytes !== this.#bytes) ({ bytes: this.#bytes, view: this.#view } = blockOf(bytes));
    const view = this.#view;
    const length = view.getUint32(offset + FIELD.length, true);
    if (length < RECORD_HEAD_BYTES || length > RECORD_BYTES_MAX || view.getUint32(offset + FIELD.marker, true) !== MARKER_LE) return 'bad';
    if (end - offset < length) return 'more';
    if (crcOf(bytes, offset, length, seed) !== view.getUint32(offset + FIELD.crc, true)) return 'bad';
    this.#offset = offset;
    this.length = length;
    const parts = this.keyBytes + this.#contentTypeBytes + this.valueBytes + this.requestIdBytes;
    return parts + RECORD_HEAD_BYTES === length && this.kind >= KIND_PUT && this.kind <= KIND_TRACE ? 'whole' : 'bad';
  }

  get kind(): number {
    return this.#view.getUint8(this.#offset + FIELD.kind);
  }

  get batch(): number {
    return this.#view.getUint32(this.#offset + FIELD.batch, true);
  }

  get batchEnd(): boolean {
    return (this.#view.getUint8(this.#offset + FIELD.flags) & FLAG_BATCH_END) !== 0;
  }

  get existed(): boolean {
    return (this.#view.getUint8(this.#offset + FIELD.flags) & FLAG_EXISTED) !== 0;
  }

  get revision(): number {
    return readUint(this.#view, this.#offset + FIELD.revision);
  }

  get previous(): number {
    return readUint(this.#view, this.#offset + FIELD.previous);
  }

  get wallMs(): number {
    return readUint(this.#view, this.#offset + FIELD.wallMs);
  }

  get valueBytes(): number {
    return this.#view.getUint32(this.#offset + FIELD.valueBytes, true);
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

  /** Of what `at` was given: key, request id and payload hash lie in it where the next getters say. */
  get view(): DataView {
    return this.#view;
  }

  get keyStart(): number {
    return this.#offset + RECORD_HEAD_BYTES;
  }

  get keyBytes(): number {
    return this.#view.getUint16(this.#offset + FIELD.keyBytes, true);
  }

  get requestIdStart(): number {
    return this.#offset + this.length - this.requestIdBytes;
  }

  get requestIdBytes(): number {
    return this.#view.getUint16(this.#offset + FIELD.requestIdBytes, true);
  }

  /** 16 bytes, of kind, condition, key, content type and value. */
  get hashStart(): number {
    return this.#offset + FIELD.hash;
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
  copyTo({ bytes }: ByteBlock, offset: number): number {
    return this.#bytes.copy(bytes, offset, this.#offset, this.#offset + this.length);
  }

  /** Copies what a repeat of its request must be answered with, and its key. Returns the length of that record. */
  traceTo({ bytes, view }: ByteBlock, offset: number): number {
    const head = RECORD_HEAD_BYTES + this.keyBytes;
    this.#bytes.copy(bytes, offset, this.#offset, this.#offset + head);
    const end = this.#offset + this.length;
    const length = head + this.#bytes.copy(bytes, offset + head, end - this.requestIdBytes, end);
    view.setUint8(offset + FIELD.kind, KIND_TRACE);
    view.setUint16(offset + FIELD.contentTypeBytes, 0, true);
    view.setUint32(offset + FIELD.valueBytes, 0, true);
    view.setUint32(offset + FIELD.length, length, true);
    return length;
  }

  get #contentTypeBytes(): number {
    return this.#view.getUint16(this.#offset + FIELD.contentTypeBytes, true);
  }
}

const EMPTY = blockOf(Buffer.alloc(0));
