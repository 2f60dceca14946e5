import type { CallContext, Clock, Lifetime } from '@diptych/kernel';
import { assertAlive, DeadlineWheel, deadlines, hasCode, settleWithin, systemClock } from '@diptych/kernel';
import type { Commit, Follower, LogPort, Position } from '@diptych/log';
import { follow } from '@diptych/log';
import type { CacheGetReply, CacheGetRequest, CachePort, CacheStats } from '../cache.port.js';
import type { Flight } from './flights.js';
import { Flights } from './flights.js';
import { keptReply, ownText, weightOf } from './kept-reply.js';
import { LruCache } from './lru-cache.js';

/**
 * The cache that keeps itself right by following the log's commits.
 *
 * What it holds is true for three reasons, and each has its line of code below:
 *
 *   1. every commit drops what is held of its key, and the stream of commits has no gaps (`follow`);
 *   2. what a read of the log brings is kept only if it shows every commit of its key that the cache has heard of, before the
 *      read began or during it, belongs to the incarnation followed, and nothing was purged meanwhile (`#keep`);
 *   3. a read joins another's flight only while nothing has happened to the key since that one began (`Flights`).
 *
 * What one read was shown no later one is shown less of, commits heard of or not: an answer that is newer than what is held, or may yet be brought,
 * puts it aside (`#read`).
 *
 * It answers from memory only while the follower is known to have been level with the log within `maxStaleMs`; where commits
 * are delivered synchronously (log and cache in one process) it must be level now, and a read that starts after an acknowledged write sees it.
 * Absences are kept as entries are: they are as true, and as expensive to find out.
 */
export class CoherentCache implements CachePort {
  readonly #options: CoherentCacheOptions;
  readonly #clock: Clock;
  readonly #wheel: DeadlineWheel;
  readonly #log: LogPort;
  readonly #held: LruCache<string, CacheGetReply>;
  readonly #flights: Flights<CacheGetReply>;
  /** By partition. */
  readonly #followers: Follower[] = [];
  #staleMsMax = 0;
  #hits = 0;
  #misses = 0;
  #readThroughs = 0;
  #resyncs = 0;
  #gaps = 0;

  private constructor(log: LogPort, options: CoherentCacheOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#wheel = options.clock ? new DeadlineWheel({ clock: options.clock }) : deadlines;
    this.#log = log;
    this.#held = new LruCache({ capacity: options.entriesMax, bytesMax: options.bytesMax, sizeOf: weightOf });
    this.#flights = new Flights({
      flightsMax: options.flightsMax,
      timeoutMs: options.flightTimeoutMs,
      clock: this.#clock,
      wheel: this.#wheel,
      heard: () => this.#followers.map((follower) => follower.position?.revision ?? 0),
      read: (flight, context) => this.#read(flight, context),
    });
  }

  /**
   * Starts to follow the log. Resolves when the subscription stands; a log that cannot be reached yet does not keep the cache
   * from starting, it reads through until it has caught up.
   *
   * @throws what `log.commits` throws
   */
  static async open(log: LogPort, options: CoherentCacheOptions): Promise<CoherentCache> {
    const cache = new CoherentCache(log, options);
    options.lifetime.own('cache flights', cache.#flights);
    for (let partition = 0; partition < (options.partitions ?? 1); partition++) await cache.#follow(partition);
    return cache;
  }

  get(request: CacheGetRequest, context: CallContext): Promise<CacheGetReply> {
    const held = this.#held.get(request.key);
    if (held !== undefined && this.#mayAnswer(held, request.token)) {
      this.#hits++;
      return Promise.resolve(held);
    }
    return this.#readThrough(request, context, held !== undefined);
  }

  async stats(_request: Record<string, never>, context: CallContext): Promise<CacheStats> {
    assertAlive(context, this.#clock);
    return this.counts();
  }

  /** `stats` for those in the same process. */
  counts(): CacheStats {
    return {
      entries: this.#held.length,
      entriesMax: this.#held.capacity,
      bytes: this.#held.bytes,
      bytesMax: this.#held.bytesMax,
      hits: this.#hits,
      misses: this.#misses,
      readThroughs: this.#readThroughs,
      evictions: this.#held.evictions,
      resyncs: this.#resyncs,
      gaps: this.#gaps,
    };
  }

  /** Holds the key, from the log if it did not, without counting as a read. @throws what the log throws; OVERLOADED */
  async fill(key: string, context: CallContext): Promise<void> {
    if (this.#held.contains(key)) return;
    const flight = this.#joinable(key) ?? this.#flights.begin(key, context.traceparent);
    await settleWithin(flight.answer, context, 'cache.fill', this.#wheel);
  }

  /** Makes the key the last to be forgotten, if it is held. */
  touch(key: string): void {
    this.#held.get(key);
  }

  /** Reads of the log now under way. */
  get flights(): number {
    return this.#flights.length;
  }

  async purge(_request: Record<string, never>, context: CallContext): Promise<{ readonly dropped: number }> {
    assertAlive(context, this.#clock);
    return { dropped: this.#forgetAll() };
  }

  /** Milliseconds since the cache was last known to be level with the log; Infinity when it never was. 0 when delivery is synchronous. */
  get behindMs(): number {
    const nowMs = this.#clock.nowMs();
    return Math.max(0, ...this.#followers.map((follower) => nowMs - follower.freshAtMs));
  }

  #mayAnswer(held: CacheGetReply, token: Position | undefined): boolean {
    const { asOf } = held;
    const follower = this.#followers[asOf.partition]!;
    // Read before `freshAtMs`, which is the present itself where delivery is synchronous.
    const nowMs = this.#clock.nowMs();
    if (nowMs - follower.freshAtMs > this.#staleMsMax) return false;
    if (token === undefined || token.partition !== asOf.partition) return true;
    return token.incarnation === asOf.incarnation && token.revision <= Math.max(asOf.revision, follower.position?.revision ?? 0);
  }

  async #readThrough(request: CacheGetRequest, context: CallContext, held: boolean): Promise<CacheGetReply> {
    const { key, token } = request;
    assertAlive(context, this.#clock);
    if (held) this.#readThroughs++;
    else this.#misses++;
    const arrival = this.#flights.begun;
    const joined = this.#joinable(key);
    const flight = joined ?? this.#flights.begin(key, context.traceparent);
    const reply = await this.#landed(flight, context);
    if (!joined || !token || shows(reply.asOf, token)) return reply;
    // The flight joined had begun before this reader came, and shows less than the reader has seen. One begun since then cannot.
    const later = this.#joinable(key);
    const second = later && later.order > arrival ? later : this.#flights.begin(key, context.traceparent);
    return this.#landed(second, context);
  }

  /**
   * Waits not quite until the reader's deadline, so that whoever waits for the cache hears in time that it is the log that does not answer. Else it would
   * see a cache that does not, and its circuit would close the way to hits too.
   */
  async #landed(flight: Flight<CacheGetReply>, { deadlineMs, signal, traceparent }: CallContext): Promise<CacheGetReply> {
    const reserveMs = Math.min(RESERVE_MS_MAX, (deadlineMs - this.#clock.nowMs()) * RESERVE_SHARE);
    const reader = { deadlineMs: deadlineMs - reserveMs, signal, traceparent };
    try {
      return await settleWithin(flight.answer, reader, 'log.read', this.#wheel);
    } catch (error) {
      if (hasCode(error, 'DEADLINE_EXCEEDED')) error.part ??= 'log';
      throw error;
    }
  }

  /** A flight is as old as its beginning: where commits may be late, it is not joined beyond `maxStaleMs`. */
  #joinable(key: string): Flight<CacheGetReply> | undefined {
    const flight = this.#flights.joinable(key);
    if (!flight) return undefined;
    const nowMs = this.#clock.nowMs();
    if (this.#staleMsMax > 0) return nowMs - flight.startedMs <= this.#staleMsMax ? flight : undefined;
    return this.#followers.every((follower) => nowMs <= follower.freshAtMs) ? flight : undefined;
  }

  async #read(flight: Flight<CacheGetReply>, context: CallContext): Promise<CacheGetReply> {
    const { entry, asOf } = await this.#log.read({ key: flight.key }, context);
    const reply = Object.freeze({ entry, asOf, hit: false });
    const isFollowed = this.#followers[asOf.partition]?.position?.incarnation === asOf.incarnation;
    this.#flights.supersede(flight, isFollowed ? asOf : undefined);
    if (isFollowed && !flight.detached) {
      if (asOf.revision >= Math.max(flight.overtakenBy, flight.heard[asOf.partition] ?? Infinity)) this.#keep(flight.key, reply);
    } else {
      // It is shown and not kept, so what is older must go: whoever reads next is not to be shown less.
      const held = this.#held.peek(flight.key);
      if (held && (!isFollowed || held.asOf.revision < asOf.revision)) this.#held.remove(flight.key);
    }
    return reply;
  }

  /** `reply` shows every commit of the key heard of so far, and is of the history followed. */
  #keep(key: string, reply: CacheGetReply): void {
    const { asOf } = reply;
    const ownKey = ownText(key);
    // One text for all that is kept, not one for each frame that came.
    const { incarnation } = this.#followers[asOf.partition]!.position!;
    const kept = keptReply(ownKey, reply.entry, { ...asOf, incarnation });
    if (weightOf(kept, ownKey) <= this.#held.bytesMax) this.#held.add(ownKey, kept);
    else this.#held.remove(key);
  }

  #onCommit({ key, revision }: Commit): void {
    const held = this.#held.peek(key);
    if (held && held.asOf.revision < revision) this.#held.remove(key);
    this.#flights.overtake(key, revision);
  }

  #forgetAll(): number {
    const dropped = this.#held.length;
    this.#held.purge();
    this.#flights.detachAll();
    return dropped;
  }

  async #follow(partition: number): Promise<void> {
    const follower = await follow(
      this.#log,
      {
        onCommit: (commit) => this.#onCommit(commit),
        onResync: () => {
          this.#resyncs++;
          this.#forgetAll();
        },
        onGap: () => void this.#gaps++,
      },
      { lifetime: this.#options.lifetime, partition, clock: this.#clock, onFailure: this.#options.onFollowFailure ?? (() => undefined) },
    );
    this.#followers[partition] = follower;
    this.#staleMsMax = follower.delivery === 'synchronous' ? 0 : this.#options.maxStaleMs;
  }
}

/** For the way back of an answer, on a busy machine too: a tenth of the time that is left, and at most 50 ms. */
const RESERVE_SHARE = 0.1;
const RESERVE_MS_MAX = 50;

function shows(asOf: Position, token: Position): boolean {
  return asOf.partition !== token.partition || (asOf.incarnation === token.incarnation && asOf.revision >= token.revision);
}

export interface CoherentCacheOptions {
  /** Ends the following when it closes. */
  readonly lifetime: Lifetime;
  readonly entriesMax: number;
  /** Of keys, values, content types and what an entry costs besides (`ENTRY_OVERHEAD_BYTES`). */
  readonly bytesMax: number;
  /** 1 or more. Without meaning where commits are delivered synchronously. */
  readonly maxStaleMs: number;
  /** Of one read of the log. A reader's own deadline may end before; one that ends later does not make the read last longer. */
  readonly flightTimeoutMs: number;
  /** Reads of the log at once; one more is OVERLOADED. */
  readonly flightsMax: number;
  /** Of the log; default 1. */
  readonly partitions?: number;
  readonly clock?: Clock;
  /** Why a call for missing commits failed. It is repeated anyway. */
  readonly onFollowFailure?: (error: unknown) => void;
}
