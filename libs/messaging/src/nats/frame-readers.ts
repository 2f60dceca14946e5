import { isTraceparent, TRACEPARENT_CHARS_MAX } from '@diptych/kernel';
import {
  ANSWER_HEADER_BYTES,
  assertVersion,
  CALL_HEADER_BYTES,
  REPLY,
  REPLY_ROOM_BYTES,
  REQUEST,
  REQUEST_ROOM_BYTES,
  TOO_SHORT,
} from './wire.js';

/**
 * Reads a frame part by part, without an object for each: after `next` its fields are those of the part. That the frame is whole is looked at before the
 * first part, so that nothing of a damaged one is begun.
 */
abstract class FrameReader {
  readonly count: number;
  readonly bytes: Buffer;
  id = 0;
  bodyStart = 0;
  bodyEnd: number;
  #left: number;

  /** @throws RangeError when the bytes are no frame of this kind */
  constructor(frame: Uint8Array, kind: number, otherwise: string, roomBytes: number) {
    this.bytes = bufferOf(frame);
    this.count = this.#left = countOf(this.bytes, kind, otherwise, roomBytes);
    this.bodyEnd = roomBytes;
  }

  /** Goes to the next part; false when there is none. */
  next(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    const at = this.bodyEnd;
    this.id = readUint32(this.bytes, at);
    this.bodyStart = this.readHead(at + 4);
    this.bodyEnd = this.bodyStart + readUint32(this.bytes, this.bodyStart - 4);
    return true;
  }

  /** Reads what comes between the id and the body, of which the last is the length of the body. Gives back where the body starts. */
  protected abstract readHead(at: number): number;
}

/** Reads a request frame call by call. */
export class RequestReader extends FrameReader {
  /** When it was sent, on the caller's own monotonic clock. */
  readonly sentMs: number;
  /** Of the caller's clock; not finite when the caller wrote nonsense. */
  deadlineMs = 0;
  #traceStart = 0;

  /** @throws RangeError when the bytes are no request frame */
  constructor(frame: Uint8Array) {
    super(frame, REQUEST, 'it is neither a request frame nor a JSON object', REQUEST_ROOM_BYTES);
    this.sentMs = this.bytes.readDoubleBE(4);
    if (!Number.isFinite(this.sentMs)) throw new RangeError('its frame does not say when it was sent');
    let at = REQUEST_ROOM_BYTES;
    for (let i = 0; i < this.count; i++) {
      at = after(this.bytes, at, CALL_HEADER_BYTES);
      // The header's last four bytes lie behind the traceparent.
      at = after(this.bytes, at, this.bytes[at - 5]!);
      at = after(this.bytes, at, readUint32(this.bytes, at - 4));
    }
    assertEnd(this.bytes, at);
  }

  /** Undefined when there is none, and when what is there cannot be one: it travels on to whoever is called further down. */
  get traceparent(): string | undefined {
    const end = this.bodyStart - 4;
    if (end === this.#traceStart || end - this.#traceStart > TRACEPARENT_CHARS_MAX) return undefined;
    const text = this.bytes.toString('latin1', this.#traceStart, end);
    return isTraceparent(text) ? text : undefined;
  }

  protected readHead(at: number): number {
    this.deadlineMs = this.bytes.readDoubleBE(at);
    this.#traceStart = at + 9;
    return this.#traceStart + this.bytes[at + 8]! + 4;
  }
}

/** Reads a reply frame reply by reply. */
export class ReplyReader extends FrameReader {
  /** One of `ReplyKind`, unless the sender is newer. */
  kind = 0;

  /** @throws RangeError when the bytes are no reply frame */
  constructor(frame: Uint8Array) {
    super(frame, REPLY, 'it is no reply frame', REPLY_ROOM_BYTES);
    let at = REPLY_ROOM_BYTES;
    for (let i = 0; i < this.count; i++) {
      at = after(this.bytes, at, ANSWER_HEADER_BYTES);
      at = after(this.bytes, at, readUint32(this.bytes, at - 4));
    }
    assertEnd(this.bytes, at);
  }

  protected readHead(at: number): number {
    this.kind = this.bytes[at]!;
    return at + 5;
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function countOf(frame: Buffer, kind: number, otherwise: string, roomBytes: number): number {
  if (frame[0] !== kind) throw new RangeError(otherwise);
  assertVersion(frame);
  after(frame, 0, roomBytes);
  const count = frame[2]! * 256 + frame[3]!;
  if (count === 0) throw new RangeError('its frame holds nothing');
  return count;
}

/** @throws RangeError when there are not so many bytes */
function after(frame: Buffer, at: number, bytes: number): number {
  const end = at + bytes;
  if (end > frame.byteLength) throw new RangeError(TOO_SHORT);
  return end;
}

function assertEnd(frame: Buffer, at: number): void {
  if (at !== frame.byteLength) throw new RangeError('its frame goes on past its end');
}

function readUint32(bytes: Buffer, at: number): number {
  return bytes[at]! * 0x1000000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}
