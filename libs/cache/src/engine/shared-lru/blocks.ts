import type { KeyBytes } from './key-bytes.js';
import { keyBytesOf, keyWordsOf } from './key-bytes.js';
import type { Layout } from './layout.js';
import { BLOCKS_MASK, Control, Slot, slotOf, wordAt } from './layout.js';

/**
 * The blocks of the shards: which are free, and the key and the value that lie in the chain of an entry, the key first. For whoever
 * holds the lock of the shard it is asked about.
 */
export class Blocks {
  readonly #blockBytes: number;
  readonly #blockWords: number;
  readonly #slotsAt: number;
  readonly #linksAt: number;
  readonly #blocksAt: number;
  readonly #words: Int32Array;
  readonly #bytes: Buffer;

  constructor({ blockBytes, slotsAt, linksAt, blocksAt }: Layout, memory: SharedArrayBuffer) {
    this.#blockBytes = blockBytes;
    this.#blockWords = blockBytes / 4;
    this.#slotsAt = slotsAt;
    this.#linksAt = linksAt;
    this.#blocksAt = blocksAt;
    this.#words = new Int32Array(memory);
    this.#bytes = Buffer.from(memory);
  }

  /** How many an entry takes. */
  countFor(keyTag: number, valueBytes: number): number {
    return Math.ceil((keyBytesOf(keyTag) + valueBytes) / this.#blockBytes) || 1;
  }

  /** A chain of free blocks, with their slots. @returns the first */
  take(shardAt: number, count: number): number {
    const words = this.#words;
    const linksAt = shardAt + this.#linksAt - 1;
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

  free(shardAt: number, slotAt: number): void {
    const words = this.#words;
    const linksAt = shardAt + this.#linksAt - 1;
    const first = slotOf(this.#slotsAt, shardAt, slotAt);
    const count = words[slotAt + Slot.BLOCKS]! & BLOCKS_MASK;
    words[shardAt + Control.BLOCKS_USED]! -= count;
    let last = first;
    for (let i = 1; i < count; i++) last = words[linksAt + last]!;
    words[linksAt + last] = words[shardAt + Control.FREE_BLOCK]!;
    words[shardAt + Control.FREE_BLOCK] = first;
  }

  /** Of an entry whose key has the same tag: whether its chain, from `first` on, begins with this key. */
  hasKey(shardAt: number, first: number, key: KeyBytes): boolean {
    const words = this.#words;
    const keyWords = key.words;
    const count = keyWordsOf(key.tag);
    let block = first;
    let at = this.#blockAt(shardAt, block);
    let end = Math.min(count, this.#blockWords);
    for (let i = 0; ;) {
      for (; i < end; i++, at++) if (words[at] !== keyWords[i]) return false;
      if (i === count) return true;
      block = this.#nextBlock(shardAt, block);
      at = this.#blockAt(shardAt, block);
      end = Math.min(count, end + this.#blockWords);
    }
  }

  writeKey(shardAt: number, slotAt: number, key: KeyBytes): void {
    const words = this.#words;
    const keyWords = key.words;
    const count = keyWordsOf(key.tag);
    let block = slotOf(this.#slotsAt, shardAt, slotAt);
    for (let i = 0; i < count; block = this.#nextBlock(shardAt, block)) {
      let at = this.#blockAt(shardAt, block);
      for (const end = Math.min(count, i + this.#blockWords); i < end; i++, at++) words[at] = keyWords[i]!;
    }
  }

  writeValue(shardAt: number, slotAt: number, value: Uint8Array): void {
    const blockBytes = this.#blockBytes;
    let block = slotOf(this.#slotsAt, shardAt, slotAt);
    let from = keyBytesOf(this.#words[slotAt + Slot.KEY_TAG]!);
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

  /** Copies the value, of `VALUE_BYTES`, to where it is wanted. */
  readValue(shardAt: number, slotAt: number, target: Buffer, targetAt: number): void {
    const words = this.#words;
    const from = keyBytesOf(words[slotAt + Slot.KEY_TAG]!);
    this.#read(shardAt, slotOf(this.#slotsAt, shardAt, slotAt), from, words[slotAt + Slot.VALUE_BYTES]!, target, targetAt);
  }

  keyOf(shardAt: number, slotAt: number): string {
    const tag = this.#words[slotAt + Slot.KEY_TAG]!;
    const bytes = Buffer.allocUnsafe(tag >>> 1);
    this.#read(shardAt, slotOf(this.#slotsAt, shardAt, slotAt), 0, bytes.byteLength, bytes, 0);
    return bytes.toString(tag & 1 ? 'utf16le' : 'latin1');
  }

  /** Of `bytes` of a chain, `from` its start. */
  #read(shardAt: number, first: number, from: number, bytes: number, target: Buffer, targetAt: number): void {
    const blockBytes = this.#blockBytes;
    let block = first;
    if (from + bytes <= blockBytes) {
      const start = this.#blockByteAt(shardAt, block) + from;
      this.#bytes.copy(target, targetAt, start, start + bytes);
      return;
    }
    for (let done = 0; done < bytes; block = this.#nextBlock(shardAt, block)) {
      if (from < blockBytes) {
        const start = this.#blockByteAt(shardAt, block) + from;
        const count = Math.min(bytes - done, blockBytes - from);
        this.#bytes.copy(target, targetAt + done, start, start + count);
        done += count;
      }
      from = Math.max(0, from - blockBytes);
    }
  }

  #nextBlock(shardAt: number, block: number): number {
    return this.#words[shardAt + this.#linksAt + block - 1]!;
  }

  #blockAt(shardAt: number, block: number): number {
    return wordAt(shardAt + this.#blocksAt, block - 1, this.#blockWords);
  }

  #blockByteAt(shardAt: number, block: number): number {
    return this.#blockAt(shardAt, block) * 4;
  }
}
