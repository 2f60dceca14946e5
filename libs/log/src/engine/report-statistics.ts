import { createHash } from 'node:crypto';
import type { Report } from '../log.port.js';

/** Adds up a report, entry by entry in key order. Deterministic: the same entries give the same report wherever it runs. */
export class ReportStatistics {
  #entries = 0;
  #keyBytes = 0;
  #valueBytes = 0;
  readonly #sizes = new Array<number>(SIZES).fill(0);
  readonly #hash = createHash('sha256');
  readonly #lengths = Buffer.alloc(8);
  /** Counts by the third byte, in a row for each first two bytes; rows are made when needed, 2 KiB each. */
  readonly #rows = new Array<Float64Array | undefined>(65_536);

  /** @param key its UTF-8 bytes */
  add(key: Uint8Array, value: Uint8Array): void {
    this.#entries++;
    this.#keyBytes += key.length;
    this.#valueBytes += value.length;
    this.#sizes[32 - Math.clz32(value.length)]!++;
    // With the lengths before them, no two sets of entries run together to the same bytes.
    this.#lengths.writeUInt32LE(key.length, 0);
    this.#lengths.writeUInt32LE(value.length, 4);
    this.#hash.update(this.#lengths).update(key).update(value);
    this.#countTrigrams(value);
  }

  finish(): Omit<Report, 'asOf'> {
    return {
      entries: this.#entries,
      keyBytes: this.#keyBytes,
      valueBytes: this.#valueBytes,
      sizes: this.#sizes,
      contentHash: this.#hash.digest('hex'),
      topTrigrams: this.#topTrigrams(),
    };
  }

  #countTrigrams(value: Uint8Array): void {
    for (let i = 2; i < value.length; i++) {
      const pair = (value[i - 2]! << 8) | value[i - 1]!;
      const row = (this.#rows[pair] ??= new Float64Array(256));
      row[value[i]!]!++;
    }
  }

  #topTrigrams(): Array<{ trigramHex: string; count: number }> {
    const top: Array<{ trigram: number; count: number }> = [];
    this.#rows.forEach((row, pair) => {
      row!.forEach((count, third) => {
        // Rows come in the order of bytes, so of equal counts the first stays ahead.
        if (count === 0 || (top.length === TRIGRAMS && count <= top[TRIGRAMS - 1]!.count)) return;
        const at = top.findIndex((other) => other.count < count);
        top.splice(at === -1 ? top.length : at, 0, { trigram: (pair << 8) | third, count });
        if (top.length > TRIGRAMS) top.pop();
      });
    });
    return top.map(({ trigram, count }) => ({ trigramHex: trigram.toString(16).padStart(6, '0'), count }));
  }
}

/** Values have up to 1,000,000 bytes, which is less than 2^20. */
const SIZES = 21;
const TRIGRAMS = 16;
