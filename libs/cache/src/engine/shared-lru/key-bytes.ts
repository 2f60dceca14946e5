/**
 * A key as it lies in shared memory, and its hash: one byte a character where all are ASCII, else UTF-16 as it is, so that any string
 * comes back as it was. Compared and copied by words of four bytes, the last one filled up with zeros.
 *
 * One of these is used again and again: what it says is true until the next `set`.
 */
export class KeyBytes {
  words: Int32Array = new Int32Array(KEY_BYTES_AT_HAND / 4);
  #bytes = Buffer.from(this.words.buffer);
  /** Twice its bytes, plus 1 where they are UTF-16. Keys of different tags differ. */
  tag = 0;
  hash = 0;
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  set(key: string): this {
    const units = key.length;
    if (units * 2 + SPARE_BYTES > this.#bytes.byteLength) this.#grow(units * 2 + SPARE_BYTES);
    this.words[units >> 2] = 0;
    // Characters that are not ASCII take two bytes or more each, so that as many bytes as characters means that all are ASCII.
    if (this.#bytes.write(key) === units) this.tag = units * 2;
    else {
      this.words[units >> 1] = 0;
      this.#bytes.write(key, 0, 'utf16le');
      this.tag = units * 4 + 1;
    }
    this.#digest();
    return this;
  }

  /** MurmurHash3 for 32 bits by Austin Appleby, from a random start. */
  #digest(): void {
    const words = this.words;
    const count = keyWordsOf(this.tag);
    let hash = this.#seed;
    for (let i = 0; i < count; i++) {
      let word = Math.imul(words[i]!, 0xcc9e2d51);
      word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
      hash ^= word;
      hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
    }
    hash ^= this.tag;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    this.hash = hash ^ (hash >>> 16);
  }

  #grow(bytes: number): void {
    this.words = new Int32Array(2 ** Math.ceil(Math.log2(bytes)) / 4);
    this.#bytes = Buffer.from(this.words.buffer);
  }
}

/** Words of four bytes that a key takes. */
export function keyWordsOf(tag: number): number {
  return ((tag >>> 1) + 3) >>> 2;
}

/** Where the value behind it begins: at a multiple of eight, because bytes that lie alike are copied by words. */
export function keyBytesOf(tag: number): number {
  return ((tag >>> 1) + 7) & ~7;
}

const KEY_BYTES_AT_HAND = 4_096;
/** UTF-8 that would take more than the room ends short of it by less than one character. */
const SPARE_BYTES = 8;
