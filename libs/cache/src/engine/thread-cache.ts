import type { CallContext, Lifetime } from '@diptych/kernel';
import { assertAlive, deadlines, settleWithin, systemClock } from '@diptych/kernel';
import type { LogPort, Position } from '@diptych/log';
import type { CacheGetReply, CacheGetRequest, CachePort, CacheStats } from '../cache.port.js';
import type { Flight } from './flights.js';
import { Flights } from './flights.js';
import { entryOf, epochOf, revisionOf } from './packed-reply.js';
import { SharedLruCache } from './shared-lru/shared-lru-cache.js';
import type { SharedHistory } from './thread-history.js';
import { epochOf as epochNow, headOf, readInto } from './thread-history.js';

/**
 * One thread's part of the cache that all threads of a process share, before a log in the main thread.
 *
 * A read that starts after an acknowledged write, in whatever thread, sees it, without hearing of commits at all. What makes it so is one rule
 * and three facts. The rule (`SharedCacheKeeper`): in the main thread, in the very step in which a mutation becomes visible to reads of the log, and
 * before its append is answered, the entry leaves the shared memory and the key's watermark is raised to its revision. So:
 *
 *   1. A hit was there under the lock of its shard. Had a newer mutation been acknowledged before, it would have been gone.
 *   2. A fill is the answer of a read that may have waited in a queue between two threads. It is refused under the same lock if the watermark is
 *      above the revision that it shows. So whichever of the two comes first, fill or commit, the commit has the last word.
 *   3. A miss joins the flight of another only if the watermark is what it was when that one began, before its read was sent. A mutation
 *      acknowledged since then, which that read may not have seen, has raised it.
 *
 * Watermarks are shared by keys and only grow, and a lock that is not to be had in time makes a miss: every error is on the side of one more
 * read of the log. Flights are this thread's: threads that miss the same key in the same moment each read it once.
 */
export class ThreadCache implements CachePort {
  readonly #shared: SharedLruCache;
  readonly #history: SharedHistory;
  readonly #head: Int32Array;
  readonly #log: LogPort;
  readonly #flights: Flights<CacheGetReply>;
  /** How things stood for the key when the flight began. */
  readonly #begun = new WeakMap<Flight<CacheGetReply>, { readonly watermark: number; readonly epoch: number }>();
  #hits = 0;
  #misses = 0;
  #readThroughs = 0;

  constructor(log: LogPort, history: SharedHistory, options: ThreadCacheOptions) {
    this.#log = log;
    this.#history = history;
    this.#head = new Int32Array(history.head);
    this.#shared = SharedLruCache.attach(history.memory);
    this.#flights = new Flights({
      flightsMax: options.flightsMax,
      timeoutMs: options.flightTimeoutMs,
      clock: systemClock,
      wheel: deadlines,
      read: (flight, context) => this.#read(flight, context),
    });
    options.lifetime.own('cache seat', this.#shared);
    options.lifetime.own('cache flights', this.#flights);
  }

  get({ key, token }: CacheGetRequest, context: CallContext): Promise<CacheGetReply> {
    const packed = this.#shared.get(key);
    // Never null: an absence is packed too.
    if (!packed || epochOf(packed) !== epochNow(this.#head)) return this.#readThrough(key, context, false);
    const revision = revisionOf(packed);
    if (token !== undefined && !this.#shows(revision, token)) return this.#readThrough(key, context, true);
    this.#hits++;
    return Promise.resolve({ entry: entryOf(packed, key), asOf: this.#position(revision), hit: true });
  }

  async stats(_request: Record<string, never>, context: CallContext): Promise<CacheStats> {
    assertAlive(context);
    return this.counts();
  }

  /** What is held and evicted is of all threads, the rest of this one. */
  counts(): CacheStats {
    const { length: entries, capacity: entriesMax, bytes, bytesMax, evictions } = this.#shared;
    const [hits, misses, readThroughs] = [this.#hits, this.#misses, this.#readThroughs];
    return { entries, entriesMax, bytes, bytesMax, hits, misses, readThroughs, evictions, resyncs: 0, gaps: 0 };
  }

  /** Reads of the log now under way. */
  get flights(): number {
    return this.#flights.length;
  }

  /** It is level with the log at every moment. */
  readonly behindMs = 0;

  async purge(_request: Record<string, never>, context: CallContext): Promise<{ readonly dropped: number }> {
    assertAlive(context);
    const dropped = this.#shared.length;
    this.#shared.purge();
    this.#flights.detachAll();
    return { dropped };
  }

  /** Whether an answer from memory shows all that the reader has seen. Of a later revision than there is, it has seen another history. */
  #shows(revision: number, token: Position): boolean {
    const { incarnation, partition } = this.#history;
    if (token.partition !== partition) return true;
    return token.incarnation === incarnation && token.revision <= Math.max(revision, headOf(this.#history));
  }

  #position(revision: number): Position {
    const { incarnation, partition } = this.#history;
    return { incarnation, partition, revision };
  }

  async #readThrough(key: string, context: CallContext, held: boolean): Promise<CacheGetReply> {
    assertAlive(context);
    if (held) this.#readThroughs++;
    else this.#misses++;
    const [watermark, epoch] = [this.#shared.watermark(key), epochNow(this.#head)];
    const joinable = this.#flights.joinable(key);
    const begun = joinable && this.#begun.get(joinable);
    if (joinable && begun?.watermark === watermark && watermark !== Infinity && begun.epoch === epoch)
      return settleWithin(joinable.answer, context, 'cache.get');
    const flight = this.#flights.begin(key, context.traceparent);
    this.#begun.set(flight, { watermark, epoch });
    return settleWithin(flight.answer, context, 'cache.get');
  }

  async #read(flight: Flight<CacheGetReply>, context: CallContext): Promise<CacheGetReply> {
    const reply = await readInto(this.#shared, this.#history, this.#log, flight.key, context, () => !flight.detached);
    return { ...reply, hit: false };
  }
}

export interface ThreadCacheOptions {
  /** Gives the seat back, and ends the flights, when it closes. */
  readonly lifetime: Lifetime;
  readonly flightTimeoutMs: number;
  /** Of this thread. */
  readonly flightsMax: number;
}
