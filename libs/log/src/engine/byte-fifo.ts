/**
 * Short stretches of bytes, kept until all older ones are let go of. They lie in chunks, so that a hundred thousand of them are a few dozen objects to the
 * garbage collector. A place is a position in the row of all bytes that were ever added; no stretch lies across two chunks.
 */
export class ByteFifo {
  readonly #chunks: Buffer[] = [];
  /** Position at which the first chunk begins. */
  #first = 0;
  #end = 0;

  /** Copies. @param length at most 65,536 @returns its place */
  add(bytes: Uint8Array, start: number, length: number): number {
    let at = this.#end % CHUNK_BYTES;
    if (at + length > CHUNK_BYTES) {
      this.#end += CHUNK_BYTES - at;
      at = 0;
    }
    const place = this.#end;
    const index = (place - this.#first) / CHUNK_BYTES;
    if (index >= this.#chunks.length && at === 0) this.#chunks.push(Buffer.allocUnsafeSlow(CHUNK_BYTES));
    const chunk = this.#chunks[Math.floor(index)]!;
    for (let i = 0; i < length; i++) chunk[at + i] = bytes[start + i]!;
    this.#end += length;
    return place;
  }

  /** The chunk that a stretch lies in, at `offsetOf(place)`. */
  chunkOf(place: number): Buffer {
    return this.#chunks[Math.floor((place - this.#first) / CHUNK_BYTES)]!;
  }

  offsetOf(place: number): number {
    return place % CHUNK_BYTES;
  }

  /** Lets go of everything before a place. */
  release(place: number): void {
    while (place - this.#first >= CHUNK_BYTES && this.#chunks.length > 0) {
      this.#chunks.shift();
      this.#first += CHUNK_BYTES;
    }
  }
}

const CHUNK_BYTES = 64 * 1024;
