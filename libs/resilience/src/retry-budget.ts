import type { Clock } from '@diptych/kernel';
import type { RetryBudgetOptions } from './guard-options.js';

/**
 * How many repeats are left: a token bucket. Every request earns `ratio` of one, and low traffic gets `minimumPerSecond` until there are
 * `minimum`. So, over any time in which n requests are made,
 *
 *   attempts <= n * (1 + ratio) + minimum + seconds * minimumPerSecond        counted from the start
 *   attempts <= n * (1 + ratio) + savedMax + seconds * minimumPerSecond       counted from anywhere
 *
 * which is what keeps a part that is in trouble from being called several times as often because of it. The idea is that of Finagle's
 * RetryBudget and of the retry throttling in gRPC (proposal A6).
 */
export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  readonly #clock: Clock;
  #saved: number;
  #refilledMs: number;

  constructor(options: RetryBudgetOptions, clock: Clock) {
    const { ratio, minimum, minimumPerSecond, savedMax } = options;
    if (!(ratio >= 0 && minimum >= 0 && minimumPerSecond >= 0 && savedMax >= minimum))
      throw new RangeError('a retry budget needs figures of 0 or more, and a savedMax of minimum or more');
    this.#options = options;
    this.#clock = clock;
    this.#saved = minimum;
    this.#refilledMs = clock.nowMs();
  }

  /** Whole repeats that could be had now. */
  get left(): number {
    this.#refill();
    // Tenths do not add up to one exactly.
    return Math.floor(this.#saved + 1e-9);
  }

  /** A request was made, however it ends. */
  earn(): void {
    const saved = this.#saved + this.#options.ratio;
    this.#saved = saved < this.#options.savedMax ? saved : this.#options.savedMax;
  }

  /** Takes one repeat, if there is one. */
  take(): boolean {
    if (this.left < 1) return false;
    this.#saved -= 1;
    return true;
  }

  /** Only when asked for, so that a request that goes well reads no clock. */
  #refill(): void {
    const { minimum, minimumPerSecond } = this.#options;
    const nowMs = this.#clock.nowMs();
    const refill = ((nowMs - this.#refilledMs) / 1_000) * minimumPerSecond;
    this.#refilledMs = nowMs;
    if (this.#saved < minimum) this.#saved = Math.min(minimum, this.#saved + refill);
  }
}
