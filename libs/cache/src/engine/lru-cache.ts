import { LRUCache as Lru } from 'lru-cache';
import type { BoundedCache, BoundedCacheOptions, CacheClock } from './bounded-cache.js';
import { assertBound, checkedTtl } from './bounded-cache.js';
import type { EvictReason } from './evictions.js';
import { tellOf } from './evictions.js';

/**
 * The cache of one thread: any values by any keys, weighed by `sizeOf`. `lru-cache` does the work; this is the interface that every cache
 * of the project has.
 *
 * No method waits, and none may be called from within `sizeOf`.
 */
export class LruCache<Key extends Present, Value extends Present | null> implements BoundedCache<Key, Value> {
  readonly #options: LruCacheOptions<Key, Value>;
  readonly #clock: CacheClock;
  readonly #gone: Array<{ key: Key; value: Value; reason: EvictReason }> = [];
  #lru: Lru<Key, Present>;
  #evictions = 0;
  #removing = false;
  #weight = 0;

  /** @throws RangeError for a bound that is no whole number of 1 or more, a `ttlMs` not above 0, or `bytesMax` without `sizeOf` */
  constructor(options: LruCacheOptions<Key, Value>) {
    assertBound('capacity', options.capacity);
    checkedTtl(options.ttlMs);
    this.#options = options;
    this.#clock = options.clock ?? { nowMs: () => performance.now() };
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

  get evictions(): number {
    return this.#evictions;
  }

  add(key: Key, value: Value, ttlMs = this.#options.ttlMs): boolean {
    const before = this.#evictions;
    if (ttlMs === undefined) this.#lru.set(key, value as Present);
    else this.#lru.set(key, value as Present, { ttl: checkedTtl(ttlMs)! });
    if (this.#weight > this.#lru.maxSize) {
      this.#weight = 0;
      this.#evictions++;
      if (this.#options.onEvict) this.#gone.push({ key, value, reason: 'evicted' });
    }
    this.#tell();
    return this.#evictions !== before;
  }

  get(key: Key): Value | undefined {
    const value = this.#lru.get(key);
    this.#tell();
    return value as Value | undefined;
  }

  peek(key: Key): Value | undefined {
    return this.#lru.peek(key) as Value | undefined;
  }

  contains(key: Key): boolean {
    return this.#lru.has(key);
  }

  remove(key: Key): boolean {
    const lru = this.#lru;
    const present = lru.has(key);
    if (!present) {
      // Should it be here and have expired, a look-up makes it leave.
      lru.get(key);
    } else if (lru.size > 1) {
      lru.delete(key);
    } else {
      // lru-cache deletes its last value by clearing the whole index, which takes as long as `capacity` is large; popping does not.
      this.#removing = true;
      lru.pop();
      this.#removing = false;
    }
    this.#tell();
    return present;
  }

  keys(): Key[] {
    return [...this.#lru.rkeys()];
  }

  purge(): void {
    this.#lru.clear();
    for (const gone of this.#gone) gone.reason = 'purged';
    this.#tell();
  }

  /** Costs a copy of the index. */
  resize(capacity: number, bytesMax?: number): number {
    assertBound('capacity', capacity);
    this.#assertBytesMax(bytesMax);
    const before = this.#evictions;
    const old = this.#lru;
    const bytesBound = bytesMax ?? (old.maxSize || UNBOUNDED);
    while (old.size > capacity || old.calculatedSize > bytesBound) old.pop();
    const resized = this.#create(capacity, bytesBound);
    // What has expired moves too: it leaves when its turn comes, as it would have.
    old.allowStale = true;
    for (const [key, value] of old.rentries() as Iterable<[Key, Present]>) {
      const leftMs = old.getRemainingTTL(key);
      resized.set(key, value, leftMs === Infinity ? {} : { ttl: 1, start: this.#nowMs() + leftMs - 1 });
    }
    this.#lru = resized;
    this.#tell();
    return this.#evictions - before;
  }

  #create(capacity: number, bytesMax: number | undefined): Lru<Key, Present> {
    const { sizeOf, onEvict } = this.#options;
    return new Lru<Key, Present>({
      max: capacity,
      ...(sizeOf ? { maxSize: bytesMax ?? UNBOUNDED, sizeCalculation: (value, key) => (this.#weight = sizeOf(value as Value, key)) } : {}),
      perf: { now: () => this.#nowMs() },
      ttlResolution: 0,
      noDisposeOnSet: true,
      // Called in the middle of a change, when the index may not be touched: the owner's callback runs after it.
      dispose: (value, key, why) => {
        const evicted = why === 'evict' && !this.#removing;
        if (evicted) this.#evictions++;
        if (!onEvict || why === 'set') return;
        this.#gone.push({ key, value: value as Value, reason: evicted ? 'evicted' : why === 'expire' ? 'expired' : 'removed' });
      },
    });
  }

  /** For lru-cache a start at 0 is none. */
  #nowMs(): number {
    return this.#clock.nowMs() + 1;
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

export interface LruCacheOptions<Key, Value> extends BoundedCacheOptions<Key, Value> {
  /** Values held at most. Room for their index is taken at once. */
  readonly capacity: number;
  /** Bytes held at most, by the measure of `sizeOf`. */
  readonly bytesMax?: number | undefined;
  /** What a value weighs: a whole number of 1 or more, always the same for the same value. */
  readonly sizeOf?: ((value: Value, key: Key) => number) | undefined;
}

/** `lru-cache` measures sizes only where there is a bound. */
const UNBOUNDED = Number.MAX_SAFE_INTEGER;
