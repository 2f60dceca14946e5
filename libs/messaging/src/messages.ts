import { garbledReply, malformedRequest, oversizeEvent, oversizeReply, oversizeRequest } from './binding-errors.js';
import type { Check } from './codec.js';
import { decode, encode } from './codec.js';
import type { Part } from './part.js';

/** Values of a port on their way out and in: encoded within their bound, decoded and held against their schema. */

/** @throws TOO_LARGE; INVALID_REQUEST when the value cannot be encoded at all */
export function encodeRequest(what: string, value: unknown, bytesMax: number, headerBytes = 0, isSentAtOnce = false): Part {
  let part: Part;
  try {
    part = encode(value, headerBytes, isSentAtOnce);
  } catch (error) {
    throw malformedRequest(what, 'it cannot be encoded', error);
  }
  if (part.byteLength - headerBytes > bytesMax) throw oversizeRequest(what, bytesMax);
  return part;
}

/** @throws INTERNAL when the reply is too large or cannot be encoded */
export function encodeReply(what: string, value: unknown, bytesMax: number, headerBytes = 0, isSentAtOnce = false): Part {
  let part: Part;
  try {
    part = encode(value, headerBytes, isSentAtOnce);
  } catch (error) {
    throw garbledReply(what, 'what cannot be encoded', error);
  }
  if (part.byteLength - headerBytes > bytesMax) throw oversizeReply(what, bytesMax);
  return part;
}

/** @throws INVALID_REQUEST when the bytes, or their part from `start` to `end`, are no request of the method */
export function acceptRequest(what: string, bytes: Uint8Array, fits: Check, start = 0, end = bytes.byteLength): unknown {
  let value: unknown;
  try {
    value = decode(bytes, start, end);
  } catch (error) {
    throw malformedRequest(what, 'it cannot be decoded', error);
  }
  if (!fits(value)) throw malformedRequest(what, fits.explain(value));
  return value;
}

/** @throws INTERNAL when the bytes, or their part from `start` to `end`, are no reply of the method, or no event of the topic */
export function acceptReply(what: string, bytes: Uint8Array, fits: Check, start = 0, end = bytes.byteLength): unknown {
  let value: unknown;
  try {
    value = decode(bytes, start, end);
  } catch (error) {
    throw garbledReply(what, 'what cannot be decoded', error);
  }
  if (!fits(value)) throw garbledReply(what, `what does not fit its schema: ${fits.explain(value)}`);
  return value;
}

/** @throws TOO_LARGE; INVALID_REQUEST when the event cannot be encoded */
export function encodeEvent(what: string, event: unknown, bytesMax: number, headerBytes = 0): Buffer {
  let bytes: Buffer;
  try {
    bytes = encode(event, headerBytes).bytes;
  } catch (error) {
    throw malformedRequest(what, 'it cannot be encoded', error);
  }
  if (bytes.byteLength - headerBytes > bytesMax) throw oversizeEvent(what, bytesMax);
  return bytes;
}
