import type { Lifetime } from '@diptych/kernel';
import { systemClock } from '@diptych/kernel';
import type { LogPort } from '@diptych/log';
import type { Telemetry } from '@diptych/telemetry';
import type { CacheSettings } from './cache.settings.js';
import type { Warmable } from './engine/warm-up.js';
import { warmUp } from './engine/warm-up.js';

/** If it was asked for; before the cache is served, so that neither readiness nor routing sends anybody to it meanwhile. */
export async function warmAtStart(
  cache: Warmable,
  log: LogPort,
  { entriesMax, bytesMax, flightsMax, warmUpKeys, warmUpBytes, warmUpMs }: CacheSettings,
  lifetime: Lifetime,
  { logger }: Telemetry,
): Promise<void> {
  if (warmUpKeys === 0) return;
  const result = await warmUp(log, cache, {
    keysMax: Math.min(warmUpKeys, entriesMax),
    bytesMax: Math.min(warmUpBytes, bytesMax),
    timeoutMs: warmUpMs,
    readersMax: flightsMax,
    clock: systemClock,
    signal: lifetime.signal,
    onFailure: (error) => logger.warn({ err: error }, 'the cache could not warm up to the end'),
  });
  logger.info(result, 'the cache has warmed up');
}
