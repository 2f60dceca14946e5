import { systemClock } from '@diptych/kernel';
import type { KeptSubscription } from './kept-subscription.js';
import type { Session } from './session.js';

/**
 * Takes no more calls from a session, and gives those under way a moment to be answered. Never rejects.
 *
 * @param counts of calls that wait for answers, here or elsewhere
 * @param isOver whether it is no use any more
 */
export async function settle(
  session: Session,
  subscriptions: Iterable<KeptSubscription>,
  counts: Iterable<() => number>,
  isOver: () => boolean,
): Promise<void> {
  const endMs = systemClock.nowMs() + SETTLE_MS_MAX;
  for (const kept of subscriptions) if (kept.takesCalls) kept.detach();
  await session.nats.flush();
  const inFlight = () => [...counts].reduce((sum, count) => sum + count(), 0);
  // Once more after the last: replies leave with the end of a turn.
  for (let isIdle = false; !isOver() && systemClock.nowMs() < endMs;) {
    const wasIdle = isIdle;
    isIdle = inFlight() === 0;
    if (wasIdle && isIdle) break;
    await new Promise<void>((resolve) => systemClock.after(LOOK_MS, resolve));
  }
  await session.nats.flush();
}

/** What is not answered by then is lost with the broker, as all would be without its warning. */
const SETTLE_MS_MAX = 1_000;
const LOOK_MS = 5;
