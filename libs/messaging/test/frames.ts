import type { Part } from '../src/part.js';
import { REPLY_ROOM_BYTES, REQUEST_ROOM_BYTES, sealReplies, sealRequests } from '../src/nats/wire.js';

/** Frames in one piece, as they arrive. They are sent part by part. */
export function requestFrame(parts: readonly Part[], sentMs: number): Buffer {
  sealRequests(parts, sentMs);
  return joined(parts, REQUEST_ROOM_BYTES);
}

export function replyFrame(parts: readonly Part[]): Buffer {
  sealReplies(parts);
  return joined(parts, REPLY_ROOM_BYTES);
}

function joined(parts: readonly Part[], roomBytes: number): Buffer {
  return Buffer.concat(parts.map(({ bytes }, i) => (i === 0 ? bytes : bytes.subarray(roomBytes))));
}
