import type { CallContext, Clock, DeadlineWheel } from '@diptych/kernel';
import { DiptychError, toDiptychError } from '@diptych/kernel';
import type { Position } from '@diptych/log';

/**
 * Single flight with detaching: one read of the log for all who miss the same key at the same time, as long as nothing has
 * happened to the key since that read began.
 *
 * A flight is *joinable* while its key is quiet. A commit of the key *overtakes* it: it still answers those who wait, since
 * their reads began before the commit ended, but whoever comes later needs a new one. So there can be several flights of one
 * key, of which only the newest is joined, and each keeps being told of commits until it lands: its answer may be kept only
 * if it shows the newest of them.
 *
 * A flight has its own deadline and belongs to nobody: it goes on when those who began it give up. Its answer is then of use to
 * the next reader, whereas stopping it would let impatient clients keep a slow log from ever filling the cache.
 */
export class Flights<Reply> implements Disposable {
  readonly #options: FlightsOptions<Reply>;
  readonly #byKey = new Map<string, Array<Flight<Reply>>>();
  readonly #flying = new Map<Flight<Reply>, (error: unknown) => void>();
  #begun = 0;
  #closed = false;

  constructor(options: FlightsOptions<Reply>) {
    this.#options = options;
  }

  /** Now in the air, detached ones too; never more than `flightsMax`. */
  get length(): number {
    return this.#flying.size;
  }

  /** Flights begun so far. One whose `order` is above this number begins after now. */
  get begun(): number {
    return this.#begun;
  }

  /** The one flight of the key that a read may join, if nothing has happened to the key since it began. */
  joinable(key: string): Flight<Reply> | undefined {
    const newest = this.#byKey.get(key)?.at(-1);
    return newest?.overtakenBy === 0 ? newest : undefined;
  }

  /** @throws OVERLOADED when `flightsMax` are in the air; UNAVAILABLE after the end */
  begin(key: string, traceparent: string | undefined): Flight<Reply> {
    const { flightsMax, timeoutMs, clock, wheel } = this.#options;
    if (this.#closed) throw new DiptychError('UNAVAILABLE', 'the cache is closing');
    if (this.#flying.size >= flightsMax)
      throw new DiptychError('OVERLOADED', `the cache waits for ${flightsMax} reads of the log already; try again later`);
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    // Everyone who waited may have gone by the time it fails.
    promise.catch(() => undefined);
    const startedMs = clock.nowMs();
    const heard = this.#options.heard?.() ?? [];
    const flight: Flight<Reply> = { key, order: ++this.#begun, startedMs, heard, overtakenBy: 0, detached: false, answer: promise };
    const deadlineMs = startedMs + timeoutMs;
    const timer = wheel.at(deadlineMs, () =>
      fail(new DiptychError('DEADLINE_EXCEEDED', `the log did not answer the cache within ${timeoutMs} ms`, { part: 'log' })),
    );
    const land = (settle: () => void) => {
      if (!this.#flying.delete(flight)) return;
      timer[Symbol.dispose]();
      this.#forget(flight);
      // It hears of no commit from here on, so an answer that comes even later may not be kept.
      flight.detached = true;
      settle();
    };
    const fail = (error: unknown) => land(() => reject(toDiptychError(error)));
    this.#flying.set(flight, fail);
    const ofKey = this.#byKey.get(key);
    if (ofKey) ofKey.push(flight);
    else this.#byKey.set(key, [flight]);
    this.#options.read(flight, { deadlineMs, traceparent }).then((reply) => land(() => resolve(reply)), fail);
    return flight;
  }

  /** A mutation of the key committed with this revision. */
  overtake(key: string, revision: number): void {
    const ofKey = this.#byKey.get(key);
    if (ofKey) for (const flight of ofKey) flight.overtakenBy = Math.max(flight.overtakenBy, revision);
  }

  /**
   * The answer of `flight` shows its key as of this position, or, undefined, in a history that has not been heard of yet. Of the key's other flights, those that
   * may show less are not joined any more, and kept only if they show as much.
   */
  supersede(flight: Flight<Reply>, asOf: Position | undefined): void {
    for (const other of this.#byKey.get(flight.key) ?? []) {
      if (other === flight) continue;
      if (asOf === undefined) {
        other.detached = true;
        other.overtakenBy = Infinity;
      } else if (asOf.revision > (other.heard[asOf.partition] ?? 0)) other.overtakenBy = Math.max(other.overtakenBy, asOf.revision);
    }
  }

  /** Nobody joins any flight now in the air, and no answer of theirs may be kept. */
  detachAll(): void {
    for (const flight of this.#flying.keys()) flight.detached = true;
    this.#byKey.clear();
  }

  /** Fails all that is in the air with UNAVAILABLE, and begins nothing any more. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const fail of this.#flying.values()) fail(new DiptychError('UNAVAILABLE', 'the cache closed before the log answered'));
  }

  #forget(flight: Flight<Reply>): void {
    const ofKey = this.#byKey.get(flight.key);
    const at = ofKey?.indexOf(flight) ?? -1;
    if (at < 0) return;
    if (ofKey!.length === 1) this.#byKey.delete(flight.key);
    else ofKey!.splice(at, 1);
  }
}

export interface Flight<Reply> {
  readonly key: string;
  /** Counts up: a flight with a higher number began later. */
  readonly order: number;
  readonly startedMs: number;
  /** By partition: the revision that was heard of when it began, and which its answer shows at least. */
  readonly heard: readonly number[];
  /** The newest revision of the key that was heard of, or shown by another flight, since this one began; 0: none. */
  overtakenBy: number;
  /** Whether everything was forgotten since, or it has landed. */
  detached: boolean;
  readonly answer: Promise<Reply>;
}

export interface FlightsOptions<Reply> {
  readonly flightsMax: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  /** By partition: the newest revision heard of now. For `supersede`. */
  readonly heard?: () => readonly number[];
  /** Must not throw in the call itself. While it runs the flight hears of commits. */
  readonly read: (flight: Flight<Reply>, context: CallContext) => Promise<Reply>;
}
