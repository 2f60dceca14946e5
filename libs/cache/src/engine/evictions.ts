/** `evicted`: a bound pushed it out; `expired`: its time was over when it was looked up; `removed`: by key; `purged`: with all others. */
export type EvictReason = 'evicted' | 'expired' | 'removed' | 'purged';

/** Tells the owner of a cache what left it. All are told; what the first that failed threw is thrown then. */
export function tellOf<Key, Value>(
  gone: ReadonlyArray<{ readonly key: Key; readonly value: Value; readonly reason: EvictReason }>,
  onEvict: ((key: Key, value: Value, reason: EvictReason) => void) | undefined,
): void {
  const failures: unknown[] = [];
  for (const { key, value, reason } of gone) {
    try {
      onEvict?.(key, value, reason);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
