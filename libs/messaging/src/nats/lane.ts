import type { Part } from '../part.js';
import type { Destination } from './routing/routes.js';
import type { PendingCall } from './pending-call.js';
import { FRAME_BYTES_MAX, FRAME_COUNT_MAX } from './wire.js';

/** The calls of one method to one destination that share the next frame. Empty most of the time: a turn of the event loop is the longest. */
export class Lane {
  readonly calls: PendingCall[] = [];
  readonly parts: Part[] = [];
  #bytes = 0;

  constructor(
    readonly method: string,
    readonly destination: Destination,
  ) {}

  /** Whether the part would make the frame too large, for us or for the broker. */
  isTooSmallFor(part: Part, payloadBytesMax: number): boolean {
    return this.#bytes + part.byteLength > Math.min(FRAME_BYTES_MAX, payloadBytesMax);
  }

  get isFull(): boolean {
    return this.calls.length >= FRAME_COUNT_MAX;
  }

  add(call: PendingCall, part: Part): void {
    this.calls.push(call);
    this.parts.push(part);
    this.#bytes += part.byteLength;
  }

  clear(): void {
    this.calls.length = 0;
    this.parts.length = 0;
    this.#bytes = 0;
  }
}
