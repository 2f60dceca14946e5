import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SortableKeys } from './key-sort.js';
import { sortByKey } from './key-sort.js';

/** What is put in order. Slots of absent keys keep their bytes until they are released. */
export interface OrderableKeys extends SortableKeys {
  /** The slots of all keys that are present, in any order. */
  readonly all: () => Uint32Array;
  readonly isPresent: (slot: number) => boolean;
  /** The slot of an absent key is nowhere in the order any more. */
  readonly release: (slot: number) => void;
}

/**
 * The order of keys, made when it is first asked for, and kept up when it is asked for again: a long run of slots in order, a short one, and what
 * came since the last time. The slot of a key that was deleted stays in its run, and is passed over, until the long run is written anew.
 *
 *   onAdd ──▶ fresh ──few, in scan──▶ short ─┐
 *               └────many, in settle─────────┴──▶ long
 *
 * Appends only note what came. When they note more than there is, because nobody has asked for long, the order is forgotten and made anew.
 */
export class KeyOrder {
  readonly #keys: OrderableKeys;
  /** Undefined as long as nobody has asked. */
  #long: Uint32Array | undefined;
  #short = EMPTY;
  #fresh: number[] = [];
  /** In any of the three, and their keys are absent. */
  #dead: number[] = [];
  #settling: Promise<void> | undefined;
  /** Counts how often it was forgotten. */
  #forgotten = 0;

  constructor(keys: OrderableKeys) {
    this.#keys = keys;
  }

  onAdd(slot: number, size: number): void {
    if (!this.#long) return;
    this.#fresh.push(slot);
    this.#forgetIfMany(size);
  }

  onDelete(slot: number, size: number): void {
    if (!this.#long) return this.#keys.release(slot);
    this.#dead.push(slot);
    this.#forgetIfMany(size);
  }

  /** Does the long part of the work, in turns with everything else. On return `scan` may be called, before anything is awaited. */
  async settle(): Promise<void> {
    while (!this.#isSettled()) await (this.#settling ??= this.#settle().finally(() => (this.#settling = undefined)));
  }

  /** Visits present slots in order, from the first for which `isBefore` is false, until `visit` answers false. Only after `settle`. */
  scan(isBefore: (slot: number) => boolean, visit: (slot: number) => boolean): void {
    this.#sortFresh();
    const long = this.#long!;
    const short = this.#short;
    let i = firstNot(long, isBefore);
    let k = firstNot(short, isBefore);
    while (i < long.length || k < short.length) {
      const fromLong = k === short.length || (i < long.length && this.#keys.compare(long[i]!, short[k]!) <= 0);
      const slot = fromLong ? long[i++]! : short[k++]!;
      if (this.#keys.isPresent(slot) && !visit(slot)) return;
    }
  }

  #isSettled(): boolean {
    return !this.#settling && this.#long !== undefined && this.#fresh.length <= FRESH_MAX && this.#short.length <= SHORT_MAX;
  }

  #sortFresh(): void {
    if (this.#fresh.length === 0) return;
    const fresh = Uint32Array.from(this.#fresh);
    this.#fresh = [];
    sortByKey(fresh, this.#keys);
    const merged = new Uint32Array(this.#short.length + fresh.length);
    for (const merge = new Merge(this.#short, fresh, merged, this.#keys); merge.run(Infinity););
    this.#short = merged;
  }

  /** Writes the long run anew, out of everything that is known at its begin. */
  async #settle(): Promise<void> {
    const forgotten = this.#forgotten;
    const first = this.#long === undefined;
    const added = first ? this.#keys.all() : Uint32Array.from(this.#fresh);
    const long = (this.#long ??= EMPTY);
    const short = this.#short;
    const dead = this.#dead.length;
    this.#fresh = [];
    let runs: Uint32Array[] = [];
    for (let begin = 0; begin < added.length; begin += SORTED_AT_ONCE) {
      const run = added.subarray(begin, begin + SORTED_AT_ONCE);
      sortByKey(run, this.#keys);
      runs.push(run);
      await nextTurn();
    }
    while (runs.length > 1) runs = await this.#mergePairs(runs);
    const tidy = dead * DEAD_SHARE > long.length;
    const recent = await this.#merge(short, runs[0] ?? EMPTY);
    const merged = await this.#merge(tidy ? await this.#present(long) : long, tidy ? await this.#present(recent) : recent);
    // What was forgotten meanwhile is out of date, and some of its slots are other keys' by now.
    if (forgotten !== this.#forgotten) return;
    this.#long = merged;
    this.#short = EMPTY;
    if (tidy) for (const slot of this.#dead.splice(0, dead)) this.#keys.release(slot);
  }

  async #mergePairs(runs: readonly Uint32Array[]): Promise<Uint32Array[]> {
    const merged: Uint32Array[] = [];
    for (let i = 0; i < runs.length; i += 2) merged.push(await this.#merge(runs[i]!, runs[i + 1] ?? EMPTY));
    return merged;
  }

  async #merge(a: Uint32Array, b: Uint32Array): Promise<Uint32Array> {
    if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
    const merged = new Uint32Array(a.length + b.length);
    for (const merge = new Merge(a, b, merged, this.#keys); merge.run(MERGED_AT_ONCE);) await nextTurn();
    return merged;
  }

  async #present(run: Uint32Array): Promise<Uint32Array> {
    const present = new Uint32Array(run.length);
    let length = 0;
    for (let i = 0; i < run.length; i++) {
      if (i % FILTERED_AT_ONCE === FILTERED_AT_ONCE - 1) await nextTurn();
      if (this.#keys.isPresent(run[i]!)) present[length++] = run[i]!;
    }
    return present.slice(0, length);
  }

  #forgetIfMany(size: number): void {
    if (this.#fresh.length + this.#dead.length <= Math.max(NOTED_MAX, size)) return;
    for (const slot of this.#dead) this.#keys.release(slot);
    this.#dead = [];
    this.#fresh = [];
    this.#short = EMPTY;
    this.#long = undefined;
    this.#forgotten++;
  }
}

/** Two runs become one, bit by bit. Where one is much shorter, its places in the other are searched for, and what lies between is copied in blocks. */
class Merge {
  readonly #a: Uint32Array;
  readonly #b: Uint32Array;
  readonly #target: Uint32Array;
  readonly #keys: SortableKeys;
  readonly #search: boolean;
  #i = 0;
  #k = 0;

  constructor(a: Uint32Array, b: Uint32Array, target: Uint32Array, keys: SortableKeys) {
    [this.#a, this.#b] = a.length >= b.length ? [a, b] : [b, a];
    this.#target = target;
    this.#keys = keys;
    this.#search = this.#a.length > this.#b.length * 16;
  }

  /** Compares about so often; false when all is done. */
  run(compares: number): boolean {
    const [a, b] = [this.#a, this.#b];
    for (; this.#k < b.length && compares > 0; compares -= this.#search ? 20 : 1) {
      const slot = b[this.#k]!;
      if (this.#search) this.#copyUpTo(firstNot(a, (other) => this.#keys.compare(other, slot) < 0, this.#i));
      else if (this.#i < a.length && this.#keys.compare(a[this.#i]!, slot) < 0) {
        this.#target[this.#i + this.#k] = a[this.#i]!;
        this.#i++;
        continue;
      }
      this.#target[this.#i + this.#k] = slot;
      this.#k++;
    }
    if (this.#k < b.length) return true;
    this.#copyUpTo(a.length);
    return false;
  }

  #copyUpTo(end: number): void {
    this.#target.set(this.#a.subarray(this.#i, end), this.#i + this.#k);
    this.#i = end;
  }
}

/** Index of the first slot from `from` on for which `isBefore` is false. */
function firstNot(run: Uint32Array, isBefore: (slot: number) => boolean, from = 0): number {
  let low = from;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(run[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const EMPTY = new Uint32Array(0);
/** Put in order at once by a scan: about a millisecond. */
const FRESH_MAX = 2_048;
const SHORT_MAX = 16_384;
/** Each about a millisecond or two in which nothing else runs. */
const SORTED_AT_ONCE = 4_096;
const MERGED_AT_ONCE = 8_192;
const FILTERED_AT_ONCE = 65_536;
/** The long run is rid of the dead when they are more than one in so many. */
const DEAD_SHARE = 8;
/** Slots noted since somebody asked, or as many as there are keys if that is more. */
const NOTED_MAX = 65_536;
