import { TRACEPARENT_CHARS_MAX } from '@diptych/kernel';
import { encode, errorToRecord, SENT_AT_ONCE_BYTES } from '../codec.js';
import { encodeEvent, encodeReply, encodeRequest } from '../messages.js';
import type { Part } from '../part.js';

/**
 * What travels over NATS. A *frame* is one NATS message; its first byte says what it is, and never is `{`, by which a plain
 * client's JSON is told apart; the second is the version of the layout. Numbers are big-endian. `docs/reference/protocol.md` explains it.
 *
 *   request  D1 01, u16 count, f64 sentMs, then per call:
 *            u32 id, f64 deadlineMs, u8 length and ASCII of the traceparent, u32 length and MessagePack of the request
 *   reply    D2 01, u16 count, then per reply:
 *            u32 id, u8 0 = answer, 1 = error or 2 = a value of a stream, after which more follows for this id,
 *            u32 length and MessagePack of the answer, the error record or the value
 *   event    D4 01, MessagePack of the event
 *
 * Both instants of a request are on the caller's own monotonic clock, so that only their difference means something elsewhere.
 *
 * A request's reply subject is `<inbox of the process>.<id of its first call>`: the inbox names the caller, and a broker's
 * "no responders", which has no body, still says which calls it is about. A call is cancelled by a message to the cancel
 * subject that holds, as ASCII, the inbox and the call's own id. It has no reply subject itself: nobody's listening must not be mistaken for a refusal.
 */
export const REQUEST = 0xd1;
export const REPLY = 0xd2;
const EVENT = 0xd4;
const VERSION = 1;
const OPENING_BRACE = 0x7b;

/** The header of a frame, for which each part has room in front. */
export const REQUEST_ROOM_BYTES = 1 + 1 + 2 + 8;
export const CALL_HEADER_BYTES = 4 + 8 + 1 + 4;
export const REPLY_ROOM_BYTES = 1 + 1 + 2;
export const ANSWER_HEADER_BYTES = 4 + 1 + 4;
const EVENT_HEADER_BYTES = 2;

/** What frames add to a message, at most: the bound on messages leaves the broker's limit this much room. */
export const FRAME_OVERHEAD_BYTES = 255;

/** A frame is sent when it holds so many calls or replies, */
export const FRAME_COUNT_MAX = 64;
/** or when one more would make it larger than this. */
export const FRAME_BYTES_MAX = 65_536;
/** From here on a message gains nothing by company: it travels alone, as soon as it is encoded. */
export const ALONE_BYTES = SENT_AT_ONCE_BYTES;

/** `VALUE` is one of several values; the call goes on. The others end it. */
export const ReplyKind = { ANSWER: 0, ERROR: 1, VALUE: 2 } as const;
export type ReplyKind = (typeof ReplyKind)[keyof typeof ReplyKind];

/**
 * A call, encoded with room in front for its id and for the header of a frame. A large one is to be sent before anything else is encoded.
 *
 * @param what the method, for errors
 * @throws TOO_LARGE or INVALID_REQUEST
 */
export function callPart(what: string, request: unknown, deadlineMs: number, trace: string | undefined, bytesMax: number): Part {
  const traceparent = trace !== undefined && trace.length <= TRACEPARENT_CHARS_MAX ? trace : '';
  const headerBytes = REQUEST_ROOM_BYTES + CALL_HEADER_BYTES + traceparent.length;
  const part = encodeRequest(what, request, bytesMax, headerBytes, true);
  const { memory, start, end } = part;
  const at = start + REQUEST_ROOM_BYTES;
  memory.writeDoubleBE(deadlineMs, at + 4);
  memory[at + 12] = traceparent.length;
  if (traceparent.length > 0) memory.write(traceparent, at + 13, 'latin1');
  writeUint32(memory, start + headerBytes - 4, end - start - headerBytes);
  return part;
}

/** Which call it is, in the caller's own numbering. */
export function setCallId({ memory, start }: Part, id: number): void {
  writeUint32(memory, start + REQUEST_ROOM_BYTES, id);
}

/** Makes a frame of the parts: all of them behind one another, each but the first without its first `REQUEST_ROOM_BYTES`. */
export function sealRequests(parts: readonly Part[], sentMs: number): void {
  const { memory, start } = parts[0]!;
  writeHeader(memory, start, REQUEST, parts.length);
  memory.writeDoubleBE(sentMs, start + 4);
}

/** An answer or a value, with room in front as a call has. @throws INTERNAL when it is too large or cannot be encoded */
export function answerPart(what: string, id: number, kind: ReplyKind, reply: unknown, bytesMax: number): Part {
  return replyPart(encodeReply(what, reply, bytesMax, REPLY_ROOM_BYTES + ANSWER_HEADER_BYTES, true), id, kind);
}

/** An error, likewise; without its details if they cannot be sent. Never throws. */
export function errorPart(id: number, error: unknown, bytesMax = Number.POSITIVE_INFINITY): Part {
  const { details, ...bare } = errorToRecord(error);
  if (details !== undefined) {
    try {
      return answerPart('', id, ReplyKind.ERROR, { ...bare, details }, bytesMax);
    } catch {
      // That it failed, and how, is worth more to its caller than what it has to add.
    }
  }
  return replyPart(encode(bare, REPLY_ROOM_BYTES + ANSWER_HEADER_BYTES), id, ReplyKind.ERROR);
}

function replyPart(part: Part, id: number, kind: ReplyKind): Part {
  const { memory, start, end } = part;
  const at = start + REPLY_ROOM_BYTES;
  writeUint32(memory, at, id);
  memory[at + 4] = kind;
  writeUint32(memory, at + 5, end - at - ANSWER_HEADER_BYTES);
  return part;
}

/** As `sealRequests`, without `REPLY_ROOM_BYTES` each. */
export function sealReplies(parts: readonly Part[]): void {
  const { memory, start } = parts[0]!;
  writeHeader(memory, start, REPLY, parts.length);
}

function writeHeader(memory: Buffer, at: number, kind: number, count: number): void {
  memory[at] = kind;
  memory[at + 1] = VERSION;
  memory[at + 2] = count >>> 8;
  memory[at + 3] = count & 0xff;
}

function writeUint32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** @throws TOO_LARGE or INVALID_REQUEST */
export function eventFrame(what: string, event: unknown, bytesMax: number): Uint8Array {
  const frame = encodeEvent(what, event, bytesMax, EVENT_HEADER_BYTES);
  frame[0] = EVENT;
  frame[1] = VERSION;
  return frame;
}

/** The encoded event. @throws RangeError when the bytes are no event frame */
export function parseEventFrame(frame: Uint8Array): Uint8Array {
  if (frame[0] !== EVENT) throw new RangeError('it is no event frame');
  assertVersion(frame);
  return frame.subarray(EVENT_HEADER_BYTES);
}

/** What a message is; undefined when it is no frame. */
export function frameKindOf(message: Uint8Array): 'request' | 'reply' | 'event' | undefined {
  const [first] = message;
  if (first === REQUEST) return 'request';
  if (first === REPLY) return 'reply';
  return first === EVENT ? 'event' : undefined;
}

/** Whether a message is meant as JSON: its first character that is no white space is a brace. */
export function looksLikeJson(message: Uint8Array): boolean {
  let i = 0;
  while (message[i] === 0x20 || message[i] === 0x0a || message[i] === 0x0d || message[i] === 0x09) i++;
  return message[i] === OPENING_BRACE;
}

/** @throws RangeError */
export function assertVersion(frame: Uint8Array): void {
  if (frame[1] === undefined) throw new RangeError(TOO_SHORT);
  if (frame[1] !== VERSION) throw new RangeError(`its frame is of version ${frame[1]}; this side reads version ${VERSION}`);
}

export const TOO_SHORT = 'its frame ends too soon';
