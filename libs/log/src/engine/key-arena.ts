import type { ByteBlock } from './byte-block.js';
import { byteBlock } from './byte-block.js';
import { copyBytes } from './byte-hash.js';

/**
 * The bytes of keys, in large chunks instead of strings. A key takes a cell of its length rounded up to 8 bytes; a cell that is freed is used
 * again by the next key of that size, so what is held is bounded by the most keys there ever were of each size.
 */
export class KeyArena {
  readonly chunks: ByteBlock[] = [];
  /** In units of 8 bytes, as places are. */
  #end = 0;
  /** By size in units. */
  readonly #free: Array<number[] | undefined> = [];

  /** Copies. @param length 1 to 1,024 @returns its place, below 2^32 */
  add(view: DataView, start: number, length: number): number {
    const units = (length + UNIT_BYTES - 1) >>> UNIT_SHIFT;
    const place = this.#free[units]?.pop() ?? this.#newCell(units);
    copyBytes(view, start, this.chunkOf(place).view, this.offsetOf(place), length);
    return place;
  }

  free(place: number, length: number): void {
    const units = (length + UNIT_BYTES - 1) >>> UNIT_SHIFT;
    (this.#free[units] ??= []).push(place);
  }

  chunkOf(place: number): ByteBlock {
    return this.chunks[place >>> CHUNK_SHIFT]!;
  }

  offsetOf(place: number): number {
    return (place & CHUNK_MASK) << UNIT_SHIFT;
  }

  #newCell(units: number): number {
    const left = CHUNK_UNITS - (this.#end & CHUNK_MASK);
    if (this.#end === this.chunks.length * CHUNK_UNITS || left < units) {
      this.#end = this.chunks.length * CHUNK_UNITS;
      this.chunks.push(byteBlock(CHUNK_UNITS * UNIT_BYTES));
    }
    const place = this.#end;
    this.#end += units;
    return place;
  }
}

const UNIT_SHIFT = 3;
const UNIT_BYTES = 8;
const CHUNK_SHIFT = 13;
const CHUNK_UNITS = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_UNITS - 1;
