import { encodeEvent, encodeReply, encodeRequest } from '../messages.js';
import { encode, errorToRecord } from '../codec.js';

/**
 * What travels over NATS. A *frame* is one NATS message; its first byte says what it is, and never is `{`, by which a plain
 * client's JSON is told apart. Numbers are big-endian. A frame holds one or more calls, or replies; today's sender puts one in each,
 * every receiver reads any number.
 *
 *   request  D1, u16 count, f64 sentMs, then per call:
 *            u32 id, f64 timeLeftMs, u8 length and ASCII of the traceparent, u32 length and MessagePack of the request
 *   reply    D2, u16 count, then per reply:
 *            u32 id, u8 0 = answer, 1 = error or 2 = a value of a stream, after which more follows for this id,
 *            u32 length and MessagePack of the answer, the error record or the value
 *   event    D4, MessagePack of the event
 *
 * A request's reply subject is `<inbox of the process>.<id of its first call>`: the inbox names the caller, and a broker's
 * "no responders", which has no body, still says which calls it is about. A call is cancelled by an empty message to the port's
 * cancel subject with the call's reply subject.
 */
const REQUEST = 0xd1;
const REPLY = 0xd2;
const EVENT = 0xd4;
const OPENING_BRACE = 0x7b;

const REQUEST_HEADER_BYTES = 1 + 2 + 8;
const CALL_HEADER_BYTES = 4 + 8 + 1 + 4;
const REPLY_HEADER_BYTES = 1 + 2;
const ANSWER_HEADER_BYTES = 4 + 1 + 4;

/** What frames add to a message, at most: the bound on messages leaves the broker's limit this much room. */
export const FRAME_OVERHEAD_BYTES = 255;

/** A W3C traceparent has 55 characters; anything much longer is none. */
const TRACEPARENT_CHARS_MAX = 128;

export interface CallHeader {
  readonly id: number;
  readonly timeLeftMs: number;
  readonly traceparent: string | undefined;
}

export interface RequestFrame {
  /** When it was sent, on the caller's own monotonic clock. */
  readonly sentMs: number;
  readonly calls: ReadonlyArray<CallHeader & { readonly body: Uint8Array }>;
}

/** `VALUE` is one of several values; the call goes on. The others end it. */
export const ReplyKind = { ANSWER: 0, ERROR: 1, VALUE: 2 } as const;
export type ReplyKind = (typeof ReplyKind)[keyof typeof ReplyKind];

export interface ReplyFrame {
  readonly replies: ReadonlyArray<{ readonly id: number; readonly kind: ReplyKind; readonly body: Uint8Array }>;
}

/**
 * A frame with one call.
 *
 * @param what the method, for errors
 * @throws TOO_LARGE or INVALID_REQUEST: nothing was sent
 */
export function requestFrame(what: string, request: unknown, header: CallHeader, sentMs: number, bytesMax: number): Uint8Array {
  const traceparent = usableTraceparent(header.traceparent);
  const headerBytes = REQUEST_HEADER_BYTES + CALL_HEADER_BYTES + traceparent.length;
  const frame = encodeRequest(what, request, bytesMax, headerBytes);
  const view = viewOf(frame);
  view.setUint8(0, REQUEST);
  view.setUint16(1, 1);
  view.setFloat64(3, sentMs);
  view.setUint32(11, header.id);
  view.setFloat64(15, header.timeLeftMs);
  view.setUint8(23, traceparent.length);
  for (let i = 0; i < traceparent.length; i++) frame[24 + i] = traceparent.charCodeAt(i);
  view.setUint32(24 + traceparent.length, frame.byteLength - headerBytes);
  return frame;
}

/** @throws RangeError when the bytes are no request frame */
export function parseRequestFrame(frame: Uint8Array): RequestFrame {
  const reader = new Reader(frame);
  if (reader.uint8() !== REQUEST) throw new RangeError('it is neither a request frame nor a JSON object');
  const count = reader.uint16();
  const sentMs = reader.float64();
  const calls: Array<CallHeader & { body: Uint8Array }> = [];
  for (let i = 0; i < count; i++) {
    const id = reader.uint32();
    const timeLeftMs = reader.float64();
    const traceparent = reader.ascii(reader.uint8()) || undefined;
    calls.push({ id, timeLeftMs, traceparent, body: reader.bytes(reader.uint32()) });
  }
  reader.end();
  if (count === 0 || !Number.isFinite(sentMs) || calls.some(({ timeLeftMs }) => !Number.isFinite(timeLeftMs)))
    throw new RangeError('the header of its frame makes no sense');
  return { sentMs, calls };
}

/** A frame with one answer. @throws INTERNAL when it is too large or cannot be encoded */
export function answerFrame(what: string, id: number, reply: unknown, bytesMax: number, kind: ReplyKind = ReplyKind.ANSWER): Uint8Array {
  return replyHeader(encodeReply(what, reply, bytesMax, REPLY_HEADER_BYTES + ANSWER_HEADER_BYTES), id, kind);
}

/** A frame with one error. Never throws. */
export function errorFrame(id: number, error: unknown): Uint8Array {
  return replyHeader(encode(errorToRecord(error), REPLY_HEADER_BYTES + ANSWER_HEADER_BYTES), id, ReplyKind.ERROR);
}

function replyHeader(frame: Uint8Array, id: number, status: number): Uint8Array {
  const view = viewOf(frame);
  view.setUint8(0, REPLY);
  view.setUint16(1, 1);
  view.setUint32(3, id);
  view.setUint8(7, status);
  view.setUint32(8, frame.byteLength - REPLY_HEADER_BYTES - ANSWER_HEADER_BYTES);
  return frame;
}

/** @throws RangeError when the bytes are no reply frame */
export function parseReplyFrame(frame: Uint8Array): ReplyFrame {
  const reader = new Reader(frame);
  if (reader.uint8() !== REPLY) throw new RangeError('it is no reply frame');
  const count = reader.uint16();
  const replies: Array<{ id: number; kind: ReplyKind; body: Uint8Array }> = [];
  for (let i = 0; i < count; i++) {
    const id = reader.uint32();
    const kind = reader.uint8();
    if (kind > ReplyKind.VALUE) throw new RangeError(`it holds a reply of the unknown kind ${kind}`);
    replies.push({ id, kind: kind as ReplyKind, body: reader.bytes(reader.uint32()) });
  }
  reader.end();
  if (count === 0) throw new RangeError('it holds no reply');
  return { replies };
}

/** @throws TOO_LARGE or INVALID_REQUEST */
export function eventFrame(what: string, event: unknown, bytesMax: number): Uint8Array {
  const frame = encodeEvent(what, event, bytesMax, 1);
  frame[0] = EVENT;
  return frame;
}

/** The encoded event. @throws RangeError when the bytes are no event frame */
export function parseEventFrame(frame: Uint8Array): Uint8Array {
  if (frame[0] !== EVENT) throw new RangeError('it is no event frame');
  return frame.subarray(1);
}

/** What a message to a server is; neither of them when it is undefined. */
export function frameKindOf(message: Uint8Array): 'request' | 'event' | undefined {
  if (message[0] === REQUEST) return 'request';
  return message[0] === EVENT ? 'event' : undefined;
}

/** Whether a message is meant as JSON: its first character that is no white space is a brace. */
export function looksLikeJson(message: Uint8Array): boolean {
  let i = 0;
  while (message[i] === 0x20 || message[i] === 0x0a || message[i] === 0x0d || message[i] === 0x09) i++;
  return message[i] === OPENING_BRACE;
}

function usableTraceparent(traceparent: string | undefined): string {
  return traceparent && traceparent.length <= TRACEPARENT_CHARS_MAX ? traceparent : '';
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads a frame front to back; whatever would lead past its end is a RangeError. */
class Reader {
  readonly #frame: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(frame: Uint8Array) {
    this.#frame = frame;
    this.#view = viewOf(frame);
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  float64(): number {
    return this.#view.getFloat64(this.#advance(8));
  }

  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#frame.subarray(start, start + length);
  }

  ascii(length: number): string {
    return String.fromCharCode(...this.bytes(length));
  }

  end(): void {
    if (this.#at !== this.#frame.byteLength) throw new RangeError('its frame goes on past its end');
  }

  #advance(length: number): number {
    const start = this.#at;
    if (start + length > this.#frame.byteLength) throw new RangeError('its frame ends too soon');
    this.#at += length;
    return start;
  }
}
