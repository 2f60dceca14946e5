import { REPLY_ROOM_BYTES, REQUEST_ROOM_BYTES, sealReplies, sealRequests } from '../src/nats/wire.js';

/** Frames in one piece, as they arrive. They are sent part by part. */
export function requestFrame(parts: readonly Buffer[], sentMs: number): Buffer {
  sealRequests(parts, sentMs);
  return joined(parts, REQUEST_ROOM_BYTES);
}

export function replyFrame(parts: readonly Buffer[]): Buffer {
  sealReplies(parts);
  return joined(parts, REPLY_ROOM_BYTES);
}

function joined(parts: readonly Buffer[], roomBytes: number): Buffer {
  return Buffer.concat(parts.map((part, i) => (i === 0 ? part : part.subarray(roomBytes))));
}
