import type { Socket } from 'node:net';
import type { Part } from '../../part.js';

/**
 * What goes to a broker. It is put together in memory that is used again and again, and handed to the socket with one call: by `push`, or else when the
 * microtasks that are queued now have run.
 */
export class ProtocolWriter {
  readonly #socket: Socket;
  readonly #takesLater: boolean;
  #room = Buffer.allocUnsafeSlow(ROOM_BYTES);
  #bytes = 0;
  #isScheduled = false;

  /** @param takesLater it says only later that it has taken what it was given, as TLS always does, so what it is given is a copy */
  constructor(socket: Socket, takesLater = false) {
    this.#socket = socket;
    this.#takesLater = takesLater;
  }

  /** What the broker has not taken yet. */
  get backlogBytes(): number {
    return this.#socket.writableLength + this.#bytes;
  }

  /** Whether the system has taken all that was handed to the socket. */
  get isTaken(): boolean {
    return this.#socket.writableLength === 0;
  }

  /** A line of the protocol, without its end. At most 32 KiB long. */
  line(text: string): void {
    this.#reserve(text.length * UTF8_BYTES_MAX + LINE_END.byteLength);
    this.#bytes += this.#room.write(`${text}\r\n`, this.#bytes);
    this.#schedule();
  }

  /**
   * @param line `PUB …` with the number of bytes of all parts
   * @param parts go behind one another, each but the first without its first `skipBytes`
   * @returns whether the memory of the parts may be used for something else now
   */
  message(line: string, parts: readonly Part[], bytes: number, skipBytes: number): boolean {
    this.line(line);
    if (bytes > COPIED_BYTES_MAX) return this.#writeLarge(parts, skipBytes);
    this.#reserve(bytes + LINE_END.byteLength);
    let at = this.#bytes;
    for (let i = 0; i < parts.length; i++) {
      const { memory, start, end } = parts[i]!;
      at += memory.copy(this.#room, at, i > 0 ? start + skipBytes : start, end);
    }
    this.#room[at] = 0x0d;
    this.#room[at + 1] = 0x0a;
    this.#bytes = at + 2;
    return true;
  }

  /** Hands to the socket what there is. */
  push(): void {
    if (this.#bytes === 0) return;
    const bytes = this.#room.subarray(0, this.#bytes);
    this.#bytes = 0;
    if (this.#takesLater || this.#socket.writableLength > 0) {
      // It will wait, so it should not hold more than it has.
      this.#socket.write(Buffer.from(bytes));
      return;
    }
    this.#socket.write(bytes);
    // Usually the system has taken all of it at once.
    if (this.#socket.writableLength > 0) this.#room = Buffer.allocUnsafeSlow(ROOM_BYTES);
  }

  /** Not copied, unless it will wait: what waits must not hold more memory than it has bytes. */
  #writeLarge(parts: readonly Part[], skipBytes: number): boolean {
    const socket = this.#socket;
    const isIdle = socket.writableLength === 0;
    const line = this.#room.subarray(0, this.#bytes);
    this.#bytes = 0;
    socket.cork();
    socket.write(isIdle && !this.#takesLater ? line : Buffer.from(line));
    for (const [i, part] of parts.entries()) {
      const bytes = i > 0 ? part.bytes.subarray(skipBytes) : part.bytes;
      socket.write(isIdle ? bytes : Buffer.from(bytes));
    }
    socket.write(LINE_END);
    socket.uncork();
    if (!isIdle) return true;
    const isTaken = socket.writableLength === 0;
    if (!isTaken && !this.#takesLater) this.#room = Buffer.allocUnsafeSlow(ROOM_BYTES);
    return isTaken;
  }

  #reserve(bytes: number): void {
    if (this.#bytes + bytes > this.#room.byteLength) this.push();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.push();
    });
  }
}

const LINE_END = Buffer.from('\r\n');
const UTF8_BYTES_MAX = 3;
/** Of one message: more is not worth being copied together. */
const COPIED_BYTES_MAX = 65_536;
/** A line, and a message that is copied. */
const ROOM_BYTES = 196_608;
