import { systemClock } from '@diptych/kernel';

/**
 * Waits until `condition` answers something true, and gives that back. Tests wait on conditions with this, never for a time.
 *
 * An error the condition throws counts as "not yet"; the last one becomes the cause when time runs out.
 *
 * @param options.timeoutMs default 10,000
 * @param options.what names what was waited for in the error
 * @param options.pollMs default 5
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: { timeoutMs?: number; what?: string; pollMs?: number } = {},
): Promise<Exclude<T, false | undefined | null | 0 | ''>> {
  const { timeoutMs = 10_000, what = 'the condition', pollMs = 5 } = options;
  const endMs = systemClock.nowMs() + timeoutMs;
  let failure: unknown;
  for (;;) {
    try {
      failure = undefined;
      const value = await condition();
      if (value) return value as Exclude<T, false | undefined | null | 0 | ''>;
    } catch (error) {
      failure = error;
    }
    if (systemClock.nowMs() >= endMs) throw new Error(`${what} did not come true within ${timeoutMs} ms`, { cause: failure });
    await new Promise<void>((resolve) => systemClock.after(pollMs, resolve));
  }
}
