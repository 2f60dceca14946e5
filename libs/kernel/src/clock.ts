/**
 * Where every part reads the time from, so that tests can own it. Instants of `nowMs` are monotonic, of this process and
 * never compared with another's; `wallMs` is Unix time, for messages and records that leave the process.
 */
export interface Clock {
  /** Monotonic milliseconds, with fractions. Keeps running while the process is stopped. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch. May jump. */
  wallMs(): number;
  /** Calls `callback` once, no sooner than `delayMs` from now. The timer holds the process open unless `unref` is true. */
  after(delayMs: number, callback: () => void, options?: { unref?: boolean }): Disposable;
  /** Calls `callback` every `periodMs` until disposed. Missed turns are not made up for. */
  every(periodMs: number, callback: () => void, options?: { unref?: boolean }): Disposable;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback, options) {
    const timer = setTimeout(callback, Math.min(delayMs, TIMER_MS_MAX));
    if (options?.unref) timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
  every(periodMs, callback, options) {
    // eslint-disable-next-line no-restricted-globals -- the one place that owns a bare interval
    const timer = setInterval(callback, periodMs);
    if (options?.unref) timer.unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};

/** Node fires longer timers at once; nothing here waits for 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;
