import { systemClock } from '@diptych/kernel';
import type { KeptSubscription } from './kept-subscription.js';
import type { Session } from './session.js';

/** Who has calls that would be lost with the session. */
export interface Mover {
  /** How many wait for answers, here or elsewhere. */
  inFlight(): number;
  /** Tells whoever sends calls here that none shall come until it is connected anew. */
  announceMove?(): void;
}

/**
 * Takes no more calls from a session, some time after saying so, and gives those under way a moment to be answered. Never rejects.
 *
 * @param isOver whether it is no use any more
 */
export async function settle(
  session: Session,
  subscriptions: Iterable<KeptSubscription>,
  movers: Iterable<Mover>,
  isOver: () => boolean,
): Promise<void> {
  for (const mover of movers) mover.announceMove?.();
  if ([...movers].some((mover) => 'announceMove' in mover)) await new Promise<void>((resolve) => systemClock.after(NOTICE_MS, resolve));
  const endMs = systemClock.nowMs() + SETTLE_MS_MAX;
  for (const kept of subscriptions) if (kept.takesCalls) kept.detach();
  await session.nats.flush();
  const inFlight = () => [...movers].reduce((sum, mover) => sum + mover.inFlight(), 0);
  // Once more after the last: replies leave with the end of a turn.
  for (let isIdle = false; !isOver() && systemClock.nowMs() < endMs;) {
    const wasIdle = isIdle;
    isIdle = inFlight() === 0;
    if (wasIdle && isIdle) break;
    await new Promise<void>((resolve) => systemClock.after(LOOK_MS, resolve));
  }
  await session.nats.flush();
}

/**
 * For what is said to get round a cluster, and what is on its way to arrive: a broker drops what another has passed on to it when nobody listens any more, and says
 * nothing.
 */
export const NOTICE_MS = 50;
/** What is not answered by then is lost with the broker, as all would be without its warning. */
const SETTLE_MS_MAX = 1_000;
const LOOK_MS = 5;
