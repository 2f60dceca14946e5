import { DiptychError, isErrorCode, toDiptychError } from '@diptych/kernel';
import { Packr, RESERVE_START_SPACE, REUSE_BUFFER_MODE } from 'msgpackr';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { garbledReply } from './binding-errors.js';
import { DetailedError, detailsOf } from './detailed-error.js';
import { Part } from './part.js';
import { atLeastBytes } from './size.js';

/**
 * How values cross a process boundary: MessagePack (https://msgpack.org), plain maps and no private extensions of the
 * library, so that any language can read it. Binary data is a `Uint8Array` on both sides.
 *
 * What is decoded holds on to little more than itself, and not to the memory that the socket is read to, which is used again. To allocate an array of a
 * few hundred bytes costs as much as to decode a small message (0.6 µs), so small messages are copied side by side into a slab
 * of 8 KiB and their binary data are views of it, as Node does for small Buffers. Whoever keeps such a value longer than its call makes
 * a copy, or may keep 8 KiB for it. Of larger messages it owns its memory, unless the message is at least a quarter of what it came in: then
 * it is a view of that, which nobody else uses, and keeps four times its size at most.
 */
const views = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: false });
const copies = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: false, copyBuffers: true });

/**
 * Encodes a value.
 *
 * @param headerBytes free space to leave in front, at most 255; the caller writes its header there
 * @param isSentAtOnce the result, when it is large, is sent next, and given to `recycle` when its memory is free
 */
export function encode(value: unknown, headerBytes = 0, isSentAtOnce = false): Part {
  // A value may have getters, and they may encode something.
  if (isEncodingLarge) return packed(value, headerBytes);
  if (atLeastBytes(value, LARGE_BYTES) < LARGE_BYTES) return (lastSmall = packed(value, headerBytes));
  // The library would reserve four times what it needs, and go on to use that for what comes next.
  const bytes = atLeastBytes(value, LARGEST_BYTES);
  isEncodingLarge = true;
  views.useBuffer(bufferFor(headerBytes + bytes + ENCODE_ROOM_BYTES, isSentAtOnce && bytes >= SENT_AT_ONCE_BYTES));
  try {
    return packed(value, headerBytes);
  } finally {
    isEncodingLarge = false;
    views.useBuffer(unusedAfter(lastSmall));
  }
}

function packed(value: unknown, headerBytes: number): Part {
  const memory = views.pack(value, RESERVE_START_SPACE | REUSE_BUFFER_MODE | headerBytes) as Buffer & { start: number; end: number };
  return new Part(memory, memory.start, memory.end);
}

/** What is sent at once may lie where the last such message lay: to touch 64 KiB of fresh memory costs more than to copy as much. */
function bufferFor(bytes: number, isSentAtOnce: boolean): Buffer {
  if (!isSentAtOnce || bytes > SCRATCH_BYTES) return Buffer.allocUnsafeSlow(bytes);
  const free = scratch ?? Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  scratch = undefined;
  scratches.add(free.buffer);
  return free;
}

/** Takes back the memory of what was encoded to be sent at once, when it is sent. */
export function recycle({ memory }: Part): void {
  // Only what was given out above: what the library has grown by itself may have the same size, and it goes on to write there.
  if (scratch === undefined && scratches.has(memory.buffer)) scratch = memory;
}

let scratch: Buffer | undefined;
const scratches = new WeakSet<ArrayBufferLike>();
const SCRATCH_BYTES = 262_144;
/** From this size on a message is sent at once, if whoever encodes it says so. */
export const SENT_AT_ONCE_BYTES = 16_384;

/** Where small messages go on: behind the last of them, whose bytes may not have been sent yet. */
function unusedAfter({ memory, end }: Part): Buffer {
  return memory.byteLength - end < LARGE_BYTES ? Buffer.allocUnsafeSlow(ENCODE_BUFFER_BYTES) : memory.subarray(end);
}

/**
 * Decodes exactly one value that fills `bytes`, or its part from `start` to `end`.
 *
 * @param bytes may be held on to when they are large: they are not changed afterwards
 * @throws Error when the bytes are anything else; never hangs
 */
export function decode(bytes: Uint8Array, start = 0, end = bytes.byteLength): unknown {
  const length = end - start;
  if (length === 0) throw new RangeError('there are no bytes to decode');
  if (length > SLAB_VALUE_BYTES_MAX) {
    const plain = new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
    return (length * 4 >= bytes.buffer.byteLength ? views : copies).unpack(plain);
  }
  if (slabAt + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    slabAt = 0;
  }
  if (Buffer.isBuffer(bytes)) bytes.copy(slab, slabAt, start, end);
  else slab.set(bytes.subarray(start, end), slabAt);
  part.start = slabAt;
  part.end = slabAt += length;
  return views.unpack(slab, part);
}

const SLAB_BYTES = 8_192;
const SLAB_VALUE_BYTES_MAX = 2_048;
let slab = new Uint8Array(SLAB_BYTES);
let slabAt = 0;
const part = { start: 0, end: 0 };

let isEncodingLarge = false;
const LARGE_BYTES = 4_096;
const LARGEST_BYTES = 2 ** 30;
const ENCODE_BUFFER_BYTES = 32_768;
/** What the library wants to have free before it begins, and some for names and lengths. */
const ENCODE_ROOM_BYTES = 4_096;
/** Its buffer is the one that small messages are encoded into, one behind the other. */
let lastSmall = new Part(Buffer.allocUnsafeSlow(ENCODE_BUFFER_BYTES), 0, 0);
views.useBuffer(unusedAfter(lastSmall));

/** Whether a value fits its schema, compiled once. */
export interface Check {
  /** True when it fits. Fields the schema does not name are let through, so that a newer side can send more. */
  (value: unknown): boolean;
  /** The first thing that is wrong, as a clause: `/key must be string`. */
  explain(value: unknown): string;
}

const checks = new WeakMap<TSchema, Check>();

/** The compiled check of a schema. Compiling costs about a millisecond, so it is done once a schema. */
export function checkOf(schema: TSchema): Check {
  let check = checks.get(schema);
  if (!check) {
    const validator = Compile(schema);
    check = Object.assign((value: unknown) => validator.Check(value), {
      explain: (value: unknown) => {
        const [first] = validator.Errors(value);
        return first ? `${first.instancePath || 'it'} ${first.message}` : 'it does not fit its schema';
      },
    });
    checks.set(schema, check);
  }
  return check;
}

/** An error as it crosses the wire: its code, not its class, and not its cause. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly definite?: boolean | undefined;
  readonly retryAfterMs?: number | undefined;
  /** The port whose failure it is, when that is not the one that was called. */
  readonly part?: string | undefined;
  /** Plain data of an adapter's errors. */
  readonly details?: unknown;
}

/** What may be told of an error to the other side. Whatever is not a `DiptychError` is INTERNAL there. */
export function errorToRecord(error: unknown): ErrorRecord {
  const told = toDiptychError(error);
  const { code, message, definite, retryAfterMs, part } = told;
  const details = detailsOf(told);
  const short = message.length > MESSAGE_CHARS_MAX ? `${message.slice(0, MESSAGE_CHARS_MAX - 1)}…` : message;
  return {
    code,
    message: short,
    definite,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(part !== undefined && { part }),
    ...(details !== undefined && { details }),
  };
}

/**
 * The error of a record. Never throws: a code this side does not know, or anything else that is no error record, is INTERNAL
 * and so indefinite.
 *
 * @param from who sent it, for the message: `cache.get`
 */
export function errorFromRecord(record: unknown, from: string): DiptychError {
  if (typeof record !== 'object' || record === null) return garbledReply(from, 'no error record');
  const { code, message, definite, retryAfterMs, part, details } = record as Partial<ErrorRecord>;
  if (!isErrorCode(code)) return garbledReply(from, `the unknown error code ${String(code).slice(0, 64)}`);
  const text = typeof message === 'string' ? message : ERROR_WITHOUT_MESSAGE;
  const options = {
    definite: definite === true,
    ...(typeof retryAfterMs === 'number' && retryAfterMs >= 0 ? { retryAfterMs } : {}),
    ...(typeof part === 'string' && part.length <= PART_CHARS_MAX ? { part } : {}),
  };
  return details === undefined ? new DiptychError(code, text, options) : new DetailedError(code, text, details, options);
}

const MESSAGE_CHARS_MAX = 2_048;
const PART_CHARS_MAX = 64;
const ERROR_WITHOUT_MESSAGE = 'no message was given';
