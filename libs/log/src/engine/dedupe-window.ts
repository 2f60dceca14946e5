/** What is remembered of an append, so that a repeat gets the same answer. */
export interface Remembered {
  /** Kept as it is: give a string that does not hang on to a larger one. */
  readonly requestId: string;
  readonly revision: number;
  readonly existed: boolean;
  /** Of the payload, see record.ts. */
  readonly hash: string;
  readonly wallMs: number;
}

/**
 * The newest appends by request id, bounded by count and by age. Rebuilt from the records at start, since each record holds all
 * of it; so it survives a restart.
 */
export class DedupeWindow {
  readonly #countMax: number;
  readonly #ageMsMax: number;
  readonly #byId = new Map<string, Remembered>();
  /** Oldest first, from `#first` on. A Map's own order is slow to take the first from, again and again. */
  #order: Remembered[] = [];
  #first = 0;

  constructor(options: { countMax: number; ageMsMax: number }) {
    this.#countMax = options.countMax;
    this.#ageMsMax = options.ageMsMax;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** @param nowWallMs what is older than the window by this time is not found */
  get(requestId: string, nowWallMs: number): Remembered | undefined {
    const remembered = this.#byId.get(requestId);
    return remembered && nowWallMs - remembered.wallMs <= this.#ageMsMax ? remembered : undefined;
  }

  add(remembered: Remembered): void {
    if (this.#countMax === 0) return;
    while (this.#order.length - this.#first >= this.#countMax) this.#dropFirst();
    // Two for each one added, so that an old window drains without a pause.
    for (let dropped = 0; dropped < 2 && this.#firstIsAged(remembered.wallMs); dropped++) this.#dropFirst();
    this.#byId.set(remembered.requestId, remembered);
    this.#order.push(remembered);
    if (this.#first < 1_024 || this.#first * 2 < this.#order.length) return;
    this.#order = this.#order.slice(this.#first);
    this.#first = 0;
  }

  #firstIsAged(nowWallMs: number): boolean {
    const first = this.#order[this.#first];
    return first !== undefined && nowWallMs - first.wallMs > this.#ageMsMax;
  }

  #dropFirst(): void {
    const first = this.#order[this.#first++];
    // An id that was used again after its time has a newer place in the order.
    if (first && this.#byId.get(first.requestId) === first) this.#byId.delete(first.requestId);
  }
}
