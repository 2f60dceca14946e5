import { waitFor } from './wait-for.js';

/**
 * What holds this process open now, as counts by kind (`Timeout`, `TCPSocketWrap`, `FSEvent`, …), after
 * `process.getActiveResourcesInfo`. Kinds that belong to the runner itself are left out by comparing with a count taken before.
 */
export function openHandles(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/** What is open now beyond what was open `before`, for example `['Timeout: 2 more']`. Empty means nothing leaked. */
export function leakedSince(before: ReadonlyMap<string, number>): string[] {
  const leaks: string[] = [];
  for (const [kind, count] of openHandles()) {
    const more = count - (before.get(kind) ?? 0);
    // The runner's own immediates, file requests and random-number requests come and go at any moment.
    if (more > 0 && !TRANSIENT.has(kind)) leaks.push(`${kind}: ${more} more`);
  }
  return leaks;
}

/**
 * Waits until nothing is open beyond `before`.
 *
 * @throws Error naming what leaked when that does not come about in time
 */
export async function assertNoLeaks(before: ReadonlyMap<string, number>, options: { timeoutMs?: number } = {}): Promise<void> {
  const { timeoutMs = 5_000 } = options;
  try {
    // The timer of waitFor itself has fired when the condition is looked at, so it is not counted.
    await waitFor(() => leakedSince(before).length === 0, { timeoutMs });
  } catch {
    throw new Error(`left open after ${timeoutMs} ms: ${leakedSince(before).join(', ')}`);
  }
}

const TRANSIENT = new Set(['Immediate', 'FSReqCallback', 'FSReqPromise', 'RandomBytesRequest', 'CloseReq', 'TickObject']);
