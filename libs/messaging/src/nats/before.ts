import { systemClock } from '@diptych/kernel';

/** Waits for `ending`, but not beyond `endMs`. */
export async function before(endMs: number, ending: Promise<unknown>): Promise<void> {
  let timer: Disposable | undefined;
  const over = new Promise<void>((resolve) => (timer = systemClock.after(Math.max(0, endMs - systemClock.nowMs()), resolve)));
  await Promise.race([ending, over]);
  timer?.[Symbol.dispose]();
}

/** Waits so long, or until `signal` is aborted. Never rejects. */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      timer[Symbol.dispose]();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = systemClock.after(delayMs, end);
    signal.addEventListener('abort', end, { once: true });
  });
}
