import { systemClock } from '@diptych/kernel';
import { before } from './before.js';
import type { NatsClient } from './client/nats-client.js';
import type { KeptSubscription } from './kept-subscription.js';
import type { Session } from './session.js';

/** Who has to do with a move. */
export interface Mover {
  /** How many calls wait for answers that come by the session. */
  inFlight?(): number;
  /** Tells whoever sends calls here that none shall come until it is connected anew. */
  announceMove?(): void;
}

/**
 * Takes calls and events by the next connection and no more by the session, which was said some time before, and gives the calls of this process a moment to be
 * answered: their answers come by the session, while what is asked of this process may be answered by either. A queue group has a member all the time, also where
 * it has no other. Never rejects.
 *
 * @param isOver whether it is no use any more
 */
export async function settle(
  session: Session,
  next: NatsClient,
  subscriptions: Iterable<KeptSubscription>,
  movers: Iterable<Mover>,
  isOver: () => boolean,
): Promise<void> {
  for (const kept of subscriptions) if (kept.takesCalls) kept.join(next);
  // Should it not answer, nobody is to wait for that.
  await before(systemClock.nowMs() + ECHO_MS_MAX, next.flush());
  for (const mover of movers) mover.announceMove?.();
  if ([...movers].some((mover) => 'announceMove' in mover)) await new Promise<void>((resolve) => systemClock.after(NOTICE_MS, resolve));
  if (isOver()) return;
  const endMs = systemClock.nowMs() + SETTLE_MS_MAX;
  for (const kept of subscriptions) if (kept.takesCalls) kept.leaveFor(next);
  await session.nats.flush();
  const inFlight = () => [...movers].reduce((sum, mover) => sum + (mover.inFlight?.() ?? 0), 0);
  while (inFlight() > 0 && !isOver() && systemClock.nowMs() < endMs)
    await new Promise<void>((resolve) => systemClock.after(LOOK_MS, resolve));
}

/**
 * For what is said to get round a cluster, and what is on its way to arrive: a broker drops what another has passed on to it when nobody listens any more, and says
 * nothing.
 */
export const NOTICE_MS = 50;
/** What is not answered by then is lost with the broker, as all would be without its warning. */
const SETTLE_MS_MAX = 1_000;
const LOOK_MS = 5;
/** A broker that answers takes no longer. */
export const ECHO_MS_MAX = 250;
