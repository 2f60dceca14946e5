import { systemClock } from '@diptych/kernel';

/** A terminal and the program between may each pass on the same signal. */
const SAME_SIGNAL_MS = 500;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Turns the first signal into an abort, so that what was started is ended and what was measured is kept. A second one ends the lab at once; what it
 * has started is then ended by the reaper of @diptych/testing.
 */
export function interruption(note: (line: string) => void): { readonly signal: AbortSignal } & Disposable {
  const stop = new AbortController();
  let firstMs: number | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    const nowMs = systemClock.nowMs();
    if (firstMs === undefined) {
      firstMs = nowMs;
      note(`${name}: ending what was started and keeping what was measured; once more to end at once`);
      stop.abort(new Error('interrupted'));
    } else if (nowMs - firstMs > SAME_SIGNAL_MS) process.exit(2);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    signal: stop.signal,
    [Symbol.dispose]: () => {
      for (const name of SIGNALS) process.removeListener(name, onSignal);
    },
  };
}
