/**
 * Tells when, on our own monotonic clock, a beacon was sent, from the sender's wall clock alone.
 *
 * The two clocks differ by an unknown offset, and every beacon arrives some delay after it was sent. An answered call bounds the offset from below: what
 * the sender's clock said when it answered, it said after our call began. The smallest `arrival - sent` seen bounds it from above (the idea of
 * NTP's clock filter, RFC 5905, section 10). So a beacon that lay in the socket of a frozen process, or took a long way, is dated back
 * to when it was sent, whatever overtook it; the error, at most what the call took, makes beacons look older, never fresher.
 *
 * Should the sender's clock be set back, or run slow, beacons look ever older until the next call sets it right. Set forward, they look
 * fresher by as much as the first one after that was under way.
 */
export class BeaconClock {
  #offsetMs = -Infinity;

  /** The instant the beacon was sent, never after `arrivedAtMs`; -Infinity as long as no call was answered. */
  sentAtMs(sentWallMs: number, arrivedAtMs: number): number {
    this.#offsetMs = Math.min(this.#offsetMs, arrivedAtMs - sentWallMs);
    return sentWallMs + this.#offsetMs;
  }

  /** A call that began at this instant of ours was answered at this one of the sender's. */
  prove(startedAtMs: number, answeredWallMs: number): void {
    this.#offsetMs = Math.max(this.#offsetMs, startedAtMs - answeredWallMs - WALL_TICK_MS);
  }
}

/** Wall clocks are read in whole milliseconds. */
const WALL_TICK_MS = 1;
