import type { ByteBlock } from './byte-block.js';
import { byteBlock } from './byte-block.js';
import { copyBytes } from './byte-hash.js';

/**
 * Short stretches of bytes, kept until all older ones are let go of. They lie in chunks, so that a hundred thousand of them are a few dozen objects to the
 * garbage collector. A place is a position in the row of all bytes that were ever added, modulo 2^32, so less than that is held at once; no stretch lies
 * across two chunks.
 */
export class ByteFifo {
  readonly #chunks: ByteBlock[] = [];
  /** Position at which the first chunk begins. */
  #first = 0;
  #end = 0;

  /** Copies. @param length at most 65,536 @returns its place */
  add(view: DataView, start: number, length: number): number {
    let at = this.#end & CHUNK_MASK;
    if (at + length > CHUNK_BYTES) {
      this.#end = (this.#end + CHUNK_BYTES - at) >>> 0;
      at = 0;
    }
    const place = this.#end;
    if (at === 0 && this.#indexOf(place) >= this.#chunks.length) this.#chunks.push(byteBlock(CHUNK_BYTES));
    copyBytes(view, start, this.chunkOf(place).view, at, length);
    this.#end = (place + length) >>> 0;
    return place;
  }

  /** The chunk that a stretch lies in, at `offsetOf(place)`. */
  chunkOf(place: number): ByteBlock {
    return this.#chunks[this.#indexOf(place)]!;
  }

  offsetOf(place: number): number {
    return place & CHUNK_MASK;
  }

  /** Lets go of everything before a place. */
  release(place: number): void {
    while ((place - this.#first) >>> 0 >= CHUNK_BYTES && this.#chunks.length > 0) {
      this.#chunks.shift();
      this.#first = (this.#first + CHUNK_BYTES) >>> 0;
    }
  }

  #indexOf(place: number): number {
    return (place - this.#first) >>> CHUNK_SHIFT;
  }
}

const CHUNK_SHIFT = 16;
const CHUNK_BYTES = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_BYTES - 1;
