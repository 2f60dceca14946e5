import type { Layout } from './layout.js';
import { Control, Slot } from './layout.js';

/**
 * The blocks of the shards: which are free, and the key and the value that lie in the chain of an entry, the key first. For whoever
 * holds the lock of the shard it is asked about.
 */
export class Blocks {
  readonly #layout: Layout;
  readonly #words: Int32Array;
  readonly #units: Uint16Array;
  readonly #bytes: Buffer;

  constructor(layout: Layout, memory: SharedArrayBuffer) {
    this.#layout = layout;
    this.#words = new Int32Array(memory);
    this.#units = new Uint16Array(memory);
    this.#bytes = Buffer.from(memory);
  }

  /** How many an entry takes. */
  countFor(keyUnits: number, valueBytes: number): number {
    return Math.ceil((keyBytesOf(keyUnits) + valueBytes) / this.#layout.blockBytes) || 1;
  }

  /** A chain of free blocks. @returns the first */
  take(shardAt: number, count: number): number {
    const words = this.#words;
    const linksAt = shardAt + this.#layout.linksAt - 1;
    words[shardAt + Control.BLOCKS_USED]! += count;
    let first = 0;
    for (let i = 0; i < count; i++) {
      let block = words[shardAt + Control.FREE_BLOCK]!;
      if (block === 0) block = ++words[shardAt + Control.BLOCKS_TOUCHED]!;
      else words[shardAt + Control.FREE_BLOCK] = words[linksAt + block]!;
      words[linksAt + block] = first;
      first = block;
    }
    return first;
  }

  free(shardAt: number, first: number, count: number): void {
    const words = this.#words;
    const linksAt = shardAt + this.#layout.linksAt - 1;
    words[shardAt + Control.BLOCKS_USED]! -= count;
    let last = first;
    for (let i = 1; i < count; i++) last = words[linksAt + last]!;
    words[linksAt + last] = words[shardAt + Control.FREE_BLOCK]!;
    words[shardAt + Control.FREE_BLOCK] = first;
  }

  hasKey(shardAt: number, slotAt: number, key: string): boolean {
    const units = this.#units;
    const unitsPerBlock = this.#layout.blockBytes / 2;
    let block = this.#words[slotAt + Slot.FIRST_BLOCK]!;
    let at = this.#blockByteAt(shardAt, block) / 2;
    let end = Math.min(key.length, unitsPerBlock);
    for (let i = 0; ;) {
      for (; i < end; i++, at++) if (units[at] !== key.charCodeAt(i)) return false;
      if (i === key.length) return true;
      block = this.#nextBlock(shardAt, block);
      at = this.#blockByteAt(shardAt, block) / 2;
      end = Math.min(key.length, end + unitsPerBlock);
    }
  }

  writeKey(shardAt: number, slotAt: number, key: string): void {
    const units = this.#units;
    const unitsPerBlock = this.#layout.blockBytes / 2;
    let block = this.#words[slotAt + Slot.FIRST_BLOCK]!;
    let at = this.#blockByteAt(shardAt, block) / 2;
    let end = Math.min(key.length, unitsPerBlock);
    for (let i = 0; ;) {
      for (; i < end; i++, at++) units[at] = key.charCodeAt(i);
      if (i === key.length) return;
      block = this.#nextBlock(shardAt, block);
      at = this.#blockByteAt(shardAt, block) / 2;
      end = Math.min(key.length, end + unitsPerBlock);
    }
  }

  writeValue(shardAt: number, slotAt: number, value: Uint8Array): void {
    const { blockBytes } = this.#layout;
    let block = this.#words[slotAt + Slot.FIRST_BLOCK]!;
    let from = keyBytesOf(this.#words[slotAt + Slot.KEY_UNITS]!);
    if (from + value.byteLength <= blockBytes) return this.#bytes.set(value, this.#blockByteAt(shardAt, block) + from);
    for (let done = 0; done < value.byteLength; block = this.#nextBlock(shardAt, block)) {
      if (from < blockBytes) {
        const count = Math.min(value.byteLength - done, blockBytes - from);
        this.#bytes.set(value.subarray(done, done + count), this.#blockByteAt(shardAt, block) + from);
        done += count;
      }
      from = Math.max(0, from - blockBytes);
    }
  }

  /** A copy of the value. */
  valueOf(shardAt: number, slotAt: number): Buffer {
    const words = this.#words;
    const { blockBytes } = this.#layout;
    const bytes = words[slotAt + Slot.VALUE_BYTES]!;
    const value = Buffer.allocUnsafe(bytes);
    let block = words[slotAt + Slot.FIRST_BLOCK]!;
    let from = keyBytesOf(words[slotAt + Slot.KEY_UNITS]!);
    if (from + bytes <= blockBytes) {
      const start = this.#blockByteAt(shardAt, block) + from;
      this.#bytes.copy(value, 0, start, start + bytes);
      return value;
    }
    for (let done = 0; done < bytes; block = this.#nextBlock(shardAt, block)) {
      if (from < blockBytes) {
        const start = this.#blockByteAt(shardAt, block) + from;
        const count = Math.min(bytes - done, blockBytes - from);
        this.#bytes.copy(value, done, start, start + count);
        done += count;
      }
      from = Math.max(0, from - blockBytes);
    }
    return value;
  }

  keyOf(shardAt: number, slotAt: number): string {
    const count = this.#words[slotAt + Slot.KEY_UNITS]!;
    const unitsPerBlock = this.#layout.blockBytes / 2;
    let key = '';
    let block = this.#words[slotAt + Slot.FIRST_BLOCK]!;
    for (let done = 0; done < count; done += unitsPerBlock) {
      const at = this.#blockByteAt(shardAt, block) / 2;
      key += String.fromCharCode(...this.#units.subarray(at, at + Math.min(unitsPerBlock, count - done)));
      block = this.#nextBlock(shardAt, block);
    }
    return key;
  }

  #nextBlock(shardAt: number, block: number): number {
    return this.#words[shardAt + this.#layout.linksAt + block - 1]!;
  }

  #blockByteAt(shardAt: number, block: number): number {
    return shardAt * 4 + this.#layout.blocksByteAt + (block - 1) * this.#layout.blockBytes;
  }
}

/** Padded, so that values start at a multiple of four. */
function keyBytesOf(units: number): number {
  return (units * 2 + 3) & ~3;
}
