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
    if (units > SHORT_UNITS || !this.#setShortAscii(key)) this.#setAny(key);
    return this;
  }

  /** By a loop, which costs less than to call out of the engine; written and hashed at once. @returns false when not all are ASCII */
  #setShortAscii(key: string): boolean {
    const words = this.words;
    const units = key.length;
    let hash = this.#seed;
    let all = 0;
    let at = 0;
    let i = 0;
    for (; i + 4 <= units; i += 4, at++) {
      const first = key.charCodeAt(i);
      const second = key.charCodeAt(i + 1);
      const third = key.charCodeAt(i + 2);
      const fourth = key.charCodeAt(i + 3);
      all |= first | second | third | fourth;
      const word = first | (second << 8) | (third << 16) | (fourth << 24);
      words[at] = word;
      hash = mixed(hash, word);
    }
    if (i < units) {
      let word = 0;
      for (let shift = 0; i < units; i++, shift += 8) {
        const unit = key.charCodeAt(i);
        all |= unit;
        word |= unit << shift;
      }
      words[at] = word;
      hash = mixed(hash, word);
    }
    if (all > LAST_ASCII) return false;
    this.tag = units * 2;
    this.hash = finished(hash, this.tag);
    return true;
  }

  #setAny(key: string): void {
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
    const words = this.words;
    const count = keyWordsOf(this.tag);
    let hash = this.#seed;
    for (let i = 0; i < count; i++) hash = mixed(hash, words[i]!);
    this.hash = finished(hash, this.tag);
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

/** MurmurHash3 for 32 bits by Austin Appleby, from a random start: one word of the key. */
function mixed(hash: number, keyWord: number): number {
  let word = Math.imul(keyWord, 0xcc9e2d51);
  word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
  const both = hash ^ word;
  return (Math.imul((both << 13) | (both >>> 19), 5) + 0xe6546b64) | 0;
}

function finished(hash: number, tag: number): number {
  let end = hash ^ tag;
  end = Math.imul(end ^ (end >>> 16), 0x85ebca6b);
  end = Math.imul(end ^ (end >>> 13), 0xc2b2ae35);
  return end ^ (end >>> 16);
}

const LAST_ASCII = 0x7f;
/** Characters put together as words would be stored the wrong way round by a processor that has the highest byte first. */
const SHORT_UNITS = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 64 : 0;
const KEY_BYTES_AT_HAND = 4_096;
/** UTF-8 that would take more than the room ends short of it by less than one character. */
const SPARE_BYTES = 8;
