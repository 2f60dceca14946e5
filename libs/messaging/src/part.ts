/** Encoded bytes: those of `memory` from `start` to `end`. A Buffer of just them would cost about as much as to encode a small message. */
export class Part {
  constructor(
    readonly memory: Buffer,
    readonly start: number,
    readonly end: number,
  ) {}

  /** All of the bytes. */
  static of(bytes: Uint8Array): Part {
    return new Part(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
  }

  get byteLength(): number {
    return this.end - this.start;
  }

  /** As a Buffer of their own, in the same memory. */
  get bytes(): Buffer {
    return this.memory.subarray(this.start, this.end);
  }
}
