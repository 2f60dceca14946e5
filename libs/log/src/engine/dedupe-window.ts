/** What is remembered of an append, so that a repeat gets the same answer. */
export interface Remembered {
  /** Kept as it is: give a string that does not hang on to a larger one. */
  readonly requestId: string;
  readonly revision: number;
  readonly existed: boolean;
  /** Of the payload, see record.ts. */
  readonly hash: string;
  /** When it was added, on the clock's `nowMs`. For one that was replayed: as long before the open as the wall clock says, if that can be. */
  readonly atMs: number;
}

/**
 * The newest appends by request id, bounded by count and by age. Rebuilt from the records at start, since each record holds all
 * of it; so it survives a restart.
 *
 * Age is counted on the monotonic clock, so that a step of the wall clock between a write and its repeat forgets nothing. What was replayed
 * has only the wall time in its record: its age at the open is taken from that, and never below 0.
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

  /** @param nowMs what is older than the window by this time is not found */
  get(requestId: string, nowMs: number): Remembered | undefined {
    const remembered = this.#byId.get(requestId);
    return remembered && nowMs - remembered.atMs <= this.#ageMsMax ? remembered : undefined;
  }

  add(remembered: Remembered): void {
    if (this.#countMax === 0) return;
    while (this.#order.length - this.#first >= this.#countMax) this.#dropFirst();
    // Two for each one added, so that an old window drains without a pause.
    for (let dropped = 0; dropped < 2 && this.#firstIsAged(remembered.atMs); dropped++) this.#dropFirst();
    this.#byId.set(remembered.requestId, remembered);
    this.#order.push(remembered);
    if (this.#first < 1_024 || this.#first * 2 < this.#order.length) return;
    this.#order = this.#order.slice(this.#first);
    this.#first = 0;
  }

  #firstIsAged(nowMs: number): boolean {
    const first = this.#order[this.#first];
    return first !== undefined && nowMs - first.atMs > this.#ageMsMax;
  }

  #dropFirst(): void {
    const first = this.#order[this.#first++];
    // An id that was used again after its time has a newer place in the order.
    if (first && this.#byId.get(first.requestId) === first) this.#byId.delete(first.requestId);
  }
}
