/**
 * Tells when, on our own monotonic clock, a beacon was sent, from the sender's wall clock alone.
 *
 * The two clocks differ by an unknown offset, and every beacon arrives some delay after it was sent. A call gives a safe
 * lower bound of the offset: a beacon that arrives after the call's answer, over the same connection, was sent after the call began. The
 * smallest `arrival - sent` seen is an upper bound (the idea of NTP's clock filter, RFC 5905, section 10). So a beacon that lay in
 * the socket of a frozen process is dated back to when it was sent, and the error, at most the span from the call to the next
 * beacon, makes beacons look older, never fresher.
 *
 * Should the sender's clock be set back, or run slow, beacons look ever older until the next proof by a call sets it right.
 */
export class BeaconClock {
  #offsetMs = -Infinity;
  #provenSinceMs: number | undefined;

  /** The instant the beacon was sent, never after `arrivedAtMs`; -Infinity as long as nothing is proven. */
  sentAtMs(sentWallMs: number, arrivedAtMs: number): number {
    if (this.#provenSinceMs !== undefined) this.#offsetMs = Math.max(this.#offsetMs, this.#provenSinceMs - sentWallMs);
    this.#provenSinceMs = undefined;
    this.#offsetMs = Math.min(this.#offsetMs, arrivedAtMs - sentWallMs);
    return sentWallMs + this.#offsetMs;
  }

  /** A call that began at this instant was answered just now: the next beacon was sent later than that. */
  proveSince(startedAtMs: number): void {
    this.#provenSinceMs = startedAtMs;
  }
}
