import type { Guards, MainThread, OtherThreads } from '@diptych/host';
import { within, type Lifetime } from '@diptych/kernel';
import type { LogPort } from '@diptych/log';
import { logPort, NO_INCARNATION } from '@diptych/log';
import { inProcess } from '@diptych/messaging';
import type { Telemetry } from '@diptych/telemetry';
import { measured } from '@diptych/telemetry';
import { cacheMetrics } from './cache-metrics.js';
import type { CachePort } from './cache.port.js';
import type { CacheSettings } from './cache.settings.js';
import { cachePort } from './cache.wire.js';
import { SharedCacheKeeper, type SharedHistory } from './engine/thread-history.js';
import { ThreadCache } from './engine/thread-cache.js';
import { warmAtStart } from './warm-at-start.js';

/** The main thread's part of a cache that all threads share. */
export async function keepSharedCache(
  settings: CacheSettings,
  log: LogPort,
  threads: OtherThreads,
  lifetime: Lifetime,
  telemetry: Telemetry,
): Promise<SharedCacheKeeper> {
  const { entriesMax, bytesMax } = settings;
  // Nobody appends yet: the threads are served once all parts of this one have started.
  const nowhere = { incarnation: NO_INCARNATION, partition: 0, revision: 0 };
  const { head } = await log.committed({ after: nowhere, limit: 1 }, within(HEAD_TIMEOUT_MS));
  const onGap = (revision: number) => telemetry.logger.warn({ revision }, 'the log has left out revisions; the shared cache begins anew');
  const keeper = await SharedCacheKeeper.open(log, head, { lifetime, entriesMax, bytesMax, onGap });
  await warmAtStart(keeper, log, settings, lifetime, telemetry);
  threads.share(SHARED_NAME, keeper.history);
  threads.onExit((threadId) => keeper.threadExited(threadId));
  return keeper;
}

/** The part of each of the others. */
export function openThreadCache(
  { flightTimeoutMs, flightsMax }: CacheSettings,
  log: LogPort,
  main: MainThread,
  lifetime: Lifetime,
  { metrics }: Telemetry,
  guards: Guards,
): CachePort {
  const history = main.shared(SHARED_NAME) as SharedHistory;
  const cache = new ThreadCache(guards.before('cache', logPort, log, ['committed']), history, { lifetime, flightTimeoutMs, flightsMax });
  cacheMetrics(metrics, cache);
  return measured(inProcess(cachePort, guards.behind<CachePort>(cachePort, cache)), cachePort, metrics);
}

const SHARED_NAME = 'cache';
const HEAD_TIMEOUT_MS = 5_000;
