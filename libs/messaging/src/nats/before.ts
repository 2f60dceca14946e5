import { systemClock } from '@diptych/kernel';

/** Waits for `ending`, but not beyond `endMs`. */
export async function before(endMs: number, ending: Promise<unknown>): Promise<void> {
  let timer: Disposable | undefined;
  const over = new Promise<void>((resolve) => (timer = systemClock.after(Math.max(0, endMs - systemClock.nowMs()), resolve)));
  await Promise.race([ending, over]);
  timer?.[Symbol.dispose]();
}
