import type { Clock } from '@diptych/kernel';
import type { GuardWatch } from './guard-watch.js';

/** Which guards stand in front of a port, and how. Leave one out and it is off; leave all out and `guard` gives the port back as it is. */
export interface GuardOptions {
  readonly retry?: RetryOptions | undefined;
  readonly breaker?: BreakerOptions | undefined;
  readonly bulkhead?: BulkheadOptions | undefined;
  /** Methods that pass unguarded, because whoever calls them has a way of its own to wait and to try again. */
  readonly except?: readonly string[] | undefined;
  /** Who calls, for the metrics: `gateway`. */
  readonly caller?: string | undefined;
  /** Where to tell of what the guards do. */
  readonly metrics?: GuardWatch | undefined;
  readonly clock?: Clock | undefined;
}

export interface RetryOptions {
  /** Of one call, the first one counted. */
  readonly attemptsMax: number;
  /** The wait before attempt n + 1 is drawn from 0 to `firstWaitMs * 2^(n - 1)`, and is at most `waitMsMax`. */
  readonly firstWaitMs: number;
  /** What would have to wait longer (because the part said so with `retryAfterMs`, say) is not tried again. */
  readonly waitMsMax: number;
  readonly budget: RetryBudgetOptions;
}

export interface RetryBudgetOptions {
  /** Repeats a request earns: 0.1 is 10 % of the requests. */
  readonly ratio: number;
  /** Repeats that are there at the start, and come back at `minimumPerSecond` when traffic is too low to earn them. */
  readonly minimum: number;
  readonly minimumPerSecond: number;
  /** The most that may be saved up: so many repeats can follow one blow that hits all calls in flight. */
  readonly savedMax: number;
}

export interface BreakerOptions {
  /** One circuit a method, so that a slow report does not close the way to reads; or one for the whole port. */
  readonly per: 'method' | 'port';
  /** Opens when more than this share of the calls within `windowMs` failed, 0 to 1, ... */
  readonly failureRatio: number;
  readonly windowMs: number;
  /** ... and there were at least so many of them. */
  readonly callsMin: number;
  /** For how long an open circuit lets nothing through. */
  readonly openMs: number;
  /** Calls let through after that; all of them must be answered for the circuit to close. */
  readonly probes: number;
  /**
   * A call that ran into its deadline counts only if it waited at least this long: whoever gives a call one millisecond learns nothing
   * about the part, and must not be able to close it to others.
   */
  readonly patienceMs: number;
}

export interface BulkheadOptions {
  /** Calls of one method under way. */
  readonly concurrentMax: number;
  /** Calls of one method that wait for their turn, up to their deadlines. One more is OVERLOADED at once. */
  readonly queueMax: number;
}

/**
 * What is on unless somebody says otherwise, in every arm.
 *
 * Attempts and waits are few and short, so that an outage shows after some tens of milliseconds. The ratio is the one of Google's SRE book
 * (chapter "Handling Overload"). 5 s of window forgive a broker that restarts, and catch a part that hangs as soon as its calls
 * begin to run into their deadlines.
 */
export const DEFAULT_GUARDS = {
  retry: {
    attemptsMax: 3,
    firstWaitMs: 25,
    waitMsMax: 250,
    budget: { ratio: 0.1, minimum: 10, minimumPerSecond: 1, savedMax: 250 },
  },
  breaker: { per: 'method', failureRatio: 0.5, windowMs: 5_000, callsMin: 20, openMs: 1_000, probes: 1, patienceMs: 1_000 },
  bulkhead: { concurrentMax: 1_024, queueMax: 1_024 },
  shed: { inFlightMax: 2_048 },
} as const satisfies Pick<GuardOptions, 'retry' | 'breaker' | 'bulkhead'> & { readonly shed: ShedOptions };

export interface ShedOptions {
  /** Calls of one method that the part works on; one more is OVERLOADED at once. Below the bound of every binding, which stays. */
  readonly inFlightMax: number;
}
