/**
 * How long a request was under way beyond what the way itself takes, so that a server can subtract it from the time the caller
 * had left. It tells dead work apart that waited in a socket while this process was stopped, without believing the caller's clock.
 *
 * Every request carries when it was sent, on the caller's monotonic clock. *Offset* is the time received, on ours, less that. It is
 * the unknown difference of the two clocks plus the time under way, so the smallest offset seen from a caller is that difference plus
 * the shortest way, and whatever an offset is above it the request waited somewhere. Two things keep that minimum true:
 *
 * - Clocks drift apart, so the minimum creeps up by 200 ppm, more than the drift of any working quartz: 12 ms in a minute.
 * - A caller's clock may stand still while its machine sleeps, and then all its requests look late for ever. So when all that was heard of a
 *   caller in 10 s was late, the least late of it is the new minimum. A queue that piled up while this process was stopped is
 *   through long before that.
 *
 * The first request of a caller is believed: there is nothing to compare it with.
 */
export class Lateness {
  readonly #callersMax: number;
  readonly #callers = new Map<string, Caller>();

  /** @param options.callersMax callers remembered; the one first heard of is forgotten first. Default 4,096 */
  constructor(options: { callersMax?: number } = {}) {
    this.#callersMax = options.callersMax ?? 4_096;
  }

  get callers(): number {
    return this.#callers.size;
  }

  /** Milliseconds, 0 or more, that the request waited on its way. */
  of(caller: string, sentMs: number, receivedMs: number): number {
    const offsetMs = receivedMs - sentMs;
    const known = this.#callers.get(caller);
    if (!known) {
      this.#remember(caller, offsetMs, receivedMs);
      return 0;
    }
    const baseMs = known.baseMs + (receivedMs - known.baseAtMs) * CREEP;
    if (offsetMs <= baseMs) {
      known.rebase(offsetMs, receivedMs);
      return 0;
    }
    if (known.heard++ === 0) {
      known.sinceMs = receivedMs;
      known.leastMs = offsetMs;
    } else known.leastMs = Math.min(known.leastMs, offsetMs);
    if (known.heard < RELEARN_HEARD_MIN || receivedMs - known.sinceMs < RELEARN_MS) return offsetMs - baseMs;
    const leastMs = known.leastMs;
    known.rebase(leastMs, receivedMs);
    return offsetMs - leastMs;
  }

  #remember(caller: string, offsetMs: number, receivedMs: number): void {
    if (this.#callers.size >= this.#callersMax) {
      const [oldest] = this.#callers.keys();
      this.#callers.delete(oldest!);
    }
    this.#callers.set(caller, new Caller(offsetMs, receivedMs));
  }
}

class Caller {
  /** Requests since the minimum was last set, all of them late. */
  heard = 0;
  sinceMs = 0;
  leastMs = 0;

  constructor(
    public baseMs: number,
    public baseAtMs: number,
  ) {}

  rebase(baseMs: number, atMs: number): void {
    this.baseMs = baseMs;
    this.baseAtMs = atMs;
    this.heard = 0;
  }
}

const CREEP = 200e-6;
const RELEARN_MS = 10_000;
const RELEARN_HEARD_MIN = 3;
