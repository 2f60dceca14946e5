import { LRUCache as Lru } from 'lru-cache';
import type { EvictReason } from './evictions.js';
import { tellOf } from './evictions.js';

/**
 * A bounded set of values by key that forgets the least recently used first. It never holds more than `capacity` values, nor
 * more than `bytesMax` bytes by the measure of `sizeOf`. `lru-cache` does the work; this is the interface that every cache
 * of the project has, after the one of Go's `simplelru`.
 *
 * One thread's only: no method waits, and none may be called from within `sizeOf`.
 */
export class LruCache<Key extends Present, Value extends Present> {
  readonly #options: LruCacheOptions<Key, Value>;
  readonly #gone: Array<{ key: Key; value: Value; reason: EvictReason }> = [];
  #lru: Lru<Key, Value>;
  #evictions = 0;
  #removing = false;
  #weight = 0;

  /** @throws RangeError for a bound that is no whole number of 1 or more, or `bytesMax` without `sizeOf` */
  constructor(options: LruCacheOptions<Key, Value>) {
    assertBound('capacity', options.capacity);
    this.#options = options;
    this.#assertBytesMax(options.bytesMax);
    this.#lru = this.#create(options.capacity, options.bytesMax);
  }

  get length(): number {
    return this.#lru.size;
  }

  get capacity(): number {
    return this.#lru.max;
  }

  /** The sum of `sizeOf` over what is held; 0 without `sizeOf`. */
  get bytes(): number {
    return this.#lru.calculatedSize;
  }

  /** Infinity when bytes are not bounded. */
  get bytesMax(): number {
    return this.#lru.maxSize === 0 || this.#lru.maxSize === UNBOUNDED ? Infinity : this.#lru.maxSize;
  }

  /** Values pushed out by a bound since the cache was made. */
  get evictions(): number {
    return this.#evictions;
  }

  /**
   * Makes `value` the most recent one, in place of what the key held (which is not reported to `onEvict`). A value that
   * alone weighs more than `bytesMax` is itself what gets evicted.
   *
   * @returns whether a bound pushed anything out
   */
  add(key: Key, value: Value): boolean {
    const before = this.#evictions;
    this.#lru.set(key, value);
    if (this.#weight > this.#lru.maxSize) {
      this.#weight = 0;
      this.#evictions++;
      if (this.#options.onEvict) this.#gone.push({ key, value, reason: 'evicted' });
    }
    this.#tell();
    return this.#evictions !== before;
  }

  /** The value, now the most recently used one. */
  get(key: Key): Value | undefined {
    return this.#lru.get(key);
  }

  /** The value; its recency stays as it is. */
  peek(key: Key): Value | undefined {
    return this.#lru.peek(key);
  }

  /** Does not touch recency. */
  contains(key: Key): boolean {
    return this.#lru.has(key);
  }

  /** @returns whether the key was there */
  remove(key: Key): boolean {
    const lru = this.#lru;
    if (lru.size !== 1) {
      const present = lru.delete(key);
      this.#tell();
      return present;
    }
    // lru-cache deletes its last value by clearing the whole index, which takes as long as `capacity` is large; popping does not.
    if (!lru.has(key)) return false;
    this.#removing = true;
    lru.pop();
    this.#removing = false;
    this.#tell();
    return true;
  }

  /** Oldest first. */
  keys(): Key[] {
    return [...this.#lru.rkeys()];
  }

  /** Forgets everything. */
  purge(): void {
    this.#lru.clear();
    for (const gone of this.#gone) gone.reason = 'purged';
    this.#tell();
  }

  /**
   * Changes the bounds, which costs a copy of the index. `bytesMax` stays as it is when not given.
   *
   * @returns how many values the new bounds pushed out, oldest first
   */
  resize(capacity: number, bytesMax?: number): number {
    assertBound('capacity', capacity);
    this.#assertBytesMax(bytesMax);
    const before = this.#evictions;
    const bytesBound = bytesMax ?? (this.#lru.maxSize || UNBOUNDED);
    while (this.#lru.size > capacity || this.#lru.calculatedSize > bytesBound) this.#lru.pop();
    const resized = this.#create(capacity, bytesBound);
    for (const [key, value] of this.#lru.rentries() as Iterable<[Key, Value]>) resized.set(key, value);
    this.#lru = resized;
    this.#tell();
    return this.#evictions - before;
  }

  #create(capacity: number, bytesMax: number | undefined): Lru<Key, Value> {
    const { sizeOf, onEvict } = this.#options;
    return new Lru<Key, Value>({
      max: capacity,
      ...(sizeOf
        ? { maxSize: bytesMax ?? UNBOUNDED, sizeCalculation: (value: Value, key: Key) => (this.#weight = sizeOf(value, key)) }
        : {}),
      noDisposeOnSet: true,
      // Called in the middle of a change, when the index may not be touched: the owner's callback runs after it.
      dispose: (value, key, reason) => {
        const evicted = reason === 'evict' && !this.#removing;
        if (evicted) this.#evictions++;
        if (onEvict && reason !== 'set') this.#gone.push({ key, value, reason: evicted ? 'evicted' : 'removed' });
      },
    });
  }

  #assertBytesMax(bytesMax: number | undefined): void {
    if (bytesMax === undefined) return;
    assertBound('bytesMax', bytesMax);
    if (!this.#options.sizeOf) throw new RangeError('bytesMax needs sizeOf, to know what a value weighs');
  }

  #tell(): void {
    if (this.#gone.length === 0) return;
    tellOf(this.#gone.splice(0), this.#options.onEvict);
  }
}

/** Not undefined: what a look-up that found nothing answers. */
type Present = NonNullable<unknown>;

export interface LruCacheOptions<Key, Value> {
  /** Values held at most. Room for their index is taken at once. */
  readonly capacity: number;
  /** Bytes held at most, by the measure of `sizeOf`. */
  readonly bytesMax?: number | undefined;
  /** What a value weighs: a whole number of 1 or more, always the same for the same value. */
  readonly sizeOf?: ((value: Value, key: Key) => number) | undefined;
  /**
   * Called after the change is complete, once for each value that left, oldest first, except for those replaced under their
   * own key. It may use the cache. What it throws reaches whoever made the change, after all callbacks have run.
   */
  readonly onEvict?: ((key: Key, value: Value, reason: EvictReason) => void) | undefined;
}

/** `lru-cache` measures sizes only where there is a bound. */
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

function assertBound(name: string, bound: number): void {
  if (!Number.isSafeInteger(bound) || bound < 1) throw new RangeError(`${name} must be a whole number of 1 or more, is ${bound}`);
}
