/**
 * From hashes to entry numbers, in one array of integers: open addressing with linear probing. What an entry is, and whether it is the one that was
 * looked for, its owner knows:
 *
 *     for (let cell = table.first(hash); (entry = table.at(cell, hash)) !== END; cell = table.next(cell))
 *       if (entry !== OTHER && equal(entry)) return entry;
 *
 * A Map of strings costs several times the memory, and a string for each lookup of what lies in a buffer.
 */
export class ProbeTable {
  /** Pairs of a hash, and an entry number plus one; 0 where the cell is free. */
  #cells: Int32Array;
  #mask: number;
  #size = 0;
  readonly #cellsMin: number;

  /** @param cellsMin a power of two */
  constructor(cellsMin: number) {
    this.#cellsMin = cellsMin;
    this.#cells = new Int32Array(cellsMin * 2);
    this.#mask = cellsMin - 1;
  }

  get size(): number {
    return this.#size;
  }

  first(hash: number): number {
    return hash & this.#mask;
  }

  /** Has the processor fetch what `first` will look at. To be called for many hashes, one after the other, some time before: then their misses overlap. */
  touch(hash: number): number {
    return this.#cells[(hash & this.#mask) * 2 + 1]!;
  }

  next(cell: number): number {
    return (cell + 1) & this.#mask;
  }

  /** The entry in a cell, OTHER when its hash differs, END when nothing with this hash lies here or further on. */
  at(cell: number, hash: number): number {
    const entry = this.#cells[cell * 2 + 1]!;
    if (entry === 0) return END;
    return this.#cells[cell * 2] === hash ? entry - 1 : OTHER;
  }

  /** Adds an entry that is not there. */
  add(hash: number, entry: number): void {
    if ((this.#size + 1) * 4 > (this.#mask + 1) * 3) this.#resize((this.#mask + 1) * 2);
    this.#place(hash, entry);
    this.#size++;
  }

  /** Puts another entry, of the same hash, into a cell. */
  replace(cell: number, entry: number): void {
    this.#cells[cell * 2 + 1] = entry + 1;
  }

  /** Does nothing when it is not there. */
  remove(hash: number, entry: number): void {
    const cells = this.#cells;
    let hole = this.first(hash);
    while (cells[hole * 2 + 1] !== entry + 1) {
      if (cells[hole * 2 + 1] === 0) return;
      hole = this.next(hole);
    }
    // What lies behind moves up, unless its own place is behind the hole; so no mark of what was removed is needed.
    for (let cell = this.next(hole); cells[cell * 2 + 1] !== 0; cell = this.next(cell)) {
      const home = this.first(cells[cell * 2]!);
      if (((cell - home) & this.#mask) < ((cell - hole) & this.#mask)) continue;
      cells[hole * 2] = cells[cell * 2]!;
      cells[hole * 2 + 1] = cells[cell * 2 + 1]!;
      hole = cell;
    }
    cells[hole * 2 + 1] = 0;
    this.#size--;
    if (this.#size * 8 < this.#mask + 1 && this.#mask + 1 > this.#cellsMin) this.#resize((this.#mask + 1) / 2);
  }

  clear(): void {
    if (this.#size === 0) return;
    this.#size = 0;
    this.#cells.fill(0);
  }

  #place(hash: number, entry: number): void {
    let cell = this.first(hash);
    while (this.#cells[cell * 2 + 1] !== 0) cell = this.next(cell);
    this.#cells[cell * 2] = hash;
    this.#cells[cell * 2 + 1] = entry + 1;
  }

  #resize(count: number): void {
    const before = this.#cells;
    this.#cells = new Int32Array(count * 2);
    this.#mask = count - 1;
    for (let i = 0; i < before.length; i += 2) if (before[i + 1] !== 0) this.#place(before[i]!, before[i + 1]! - 1);
  }
}

export const END = -1;
export const OTHER = -2;
