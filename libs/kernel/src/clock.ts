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

/** Node fires a timer with a longer delay at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback, options) {
    const dueMs = performance.now() + delayMs;
    const arm = (leftMs: number): NodeJS.Timeout => {
      const armed = setTimeout(fire, Math.min(Math.ceil(leftMs), TIMER_MS_MAX));
      if (options?.unref) armed.unref();
      return armed;
    };
    // Node cuts fractions off and reads a coarser clock, so that timers fire up to 2 ms early by `nowMs`. Whoever asked for
    // "no sooner" compares with `nowMs`, so what comes early waits for the rest.
    const fire = () => {
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) timer = arm(leftMs);
      else callback();
    };
    let timer = arm(delayMs);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
  every(periodMs, callback, options) {
    // eslint-disable-next-line no-restricted-globals -- the one place that owns a bare interval
    const timer = setInterval(callback, periodMs);
    if (options?.unref) timer.unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};
