/** What a ring holds: it gives the id. */
export interface Numbered {
  id: number;
}

/**
 * What waits for an answer, by an id that says where it lies: neither adding nor finding nor removing hashes or allocates anything. Ids count up
 * and come round after 2^30, so that an answer that is minutes late finds nobody, instead of somebody else.
 */
export class PendingRing<T extends Numbered> {
  #slots: Array<T | undefined> = new Array<T | undefined>(SLOTS_MIN).fill(undefined);
  #mask = SLOTS_MIN - 1;
  #size = 0;
  #lastId: number;

  constructor(lastId = 0) {
    this.#lastId = lastId;
  }

  get size(): number {
    return this.#size;
  }

  /** Gives it the next id whose place is free. */
  add(item: T): void {
    // At most half full, so that a free place is near however many wait for long.
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    let id = this.#lastId;
    do id = (id + 1) & ID_MAX;
    while (this.#slots[id & this.#mask] !== undefined);
    this.#lastId = id;
    item.id = id;
    this.#slots[id & this.#mask] = item;
    this.#size++;
  }

  get(id: number): T | undefined {
    const item = this.#slots[id & this.#mask];
    return item !== undefined && item.id === id ? item : undefined;
  }

  /** False when it was not there. */
  delete(item: T): boolean {
    const at = item.id & this.#mask;
    if (this.#slots[at] !== item) return false;
    this.#slots[at] = undefined;
    this.#size--;
    return true;
  }

  /** All that wait now. */
  all(): T[] {
    return this.#slots.filter((item) => item !== undefined);
  }

  #grow(): void {
    const items = this.all();
    this.#slots = new Array<T | undefined>(this.#slots.length * 2).fill(undefined);
    this.#mask = this.#slots.length - 1;
    // Those that differed in fewer bits still do.
    for (const item of items) this.#slots[item.id & this.#mask] = item;
  }
}

const SLOTS_MIN = 256;
const ID_MAX = 2 ** 30 - 1;
