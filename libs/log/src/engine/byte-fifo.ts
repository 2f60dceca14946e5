import type { ByteBlock } from './byte-block.js';
import { byteBlock } from './byte-block.js';

interface Chunk extends ByteBlock {
  readonly words: Int32Array;
}

/**
 * Short stretches of bytes, kept until all older ones are let go of. They lie in chunks, so that a hundred thousand of them are a few dozen objects to the
 * garbage collector. A place is a position in the row of all bytes that were ever added, modulo 2^32, so less than that is held at once; no stretch lies
 * across two chunks. Each begins at a multiple of four, since words that are aligned are written several times quicker.
 */
export class ByteFifo {
  readonly #chunks: Chunk[] = [];
  /** Position at which the first chunk begins. */
  #first = 0;
  #end = 0;

  /** Copies. @param length at most 65,532 @returns its place */
  add(view: DataView, start: number, length: number): number {
    let at = this.#end & CHUNK_MASK;
    if (at + length > CHUNK_BYTES) {
      this.#end = (this.#end + CHUNK_BYTES - at) >>> 0;
      at = 0;
    }
    const place = this.#end;
    if (at === 0 && this.#indexOf(place) >= this.#chunks.length) this.#chunks.push(newChunk());
    const { bytes, words } = this.#chunks[this.#indexOf(place)]!;
    let i = 0;
    for (; i + 4 <= length; i += 4) words[(at + i) >>> 2] = view.getInt32(start + i, LITTLE_ENDIAN);
    for (; i < length; i++) bytes[at + i] = view.getUint8(start + i);
    this.#end = (place + ((length + 3) & ~3)) >>> 0;
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

function newChunk(): Chunk {
  const block = byteBlock(CHUNK_BYTES);
  return { ...block, words: new Int32Array(block.bytes.buffer) };
}

/** The order of bytes in `words` is the processor's. */
const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
const CHUNK_SHIFT = 16;
const CHUNK_BYTES = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_BYTES - 1;
