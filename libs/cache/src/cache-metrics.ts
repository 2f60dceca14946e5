import { readMetrics } from '@diptych/telemetry';
import type { Registry } from 'prom-client';
import type { CacheStats } from './cache.port.js';

/** What the cache counts (`max`: what all threads see alike), read when somebody asks for the metrics: counting costs the reads nothing more. */
export function cacheMetrics(
  registry: Registry,
  cache: { counts(): CacheStats; readonly flights: number; readonly behindMs: number },
): void {
  const { counter, gauge } = readMetrics(registry);
  const counts = () => cache.counts();
  counter('diptych_cache_hits_total', 'Reads answered from memory.', () => counts().hits);
  counter('diptych_cache_misses_total', 'Reads that memory could not answer.', () => counts().misses);
  counter('diptych_cache_read_throughs_total', 'Reads that memory was not allowed to answer.', () => counts().readThroughs);
  counter('diptych_cache_evictions_total', 'Entries pushed out by a bound.', () => counts().evictions, 'max');
  counter('diptych_cache_resyncs_total', 'Times everything was forgotten because history could not be followed.', () => counts().resyncs);
  counter('diptych_cache_gaps_total', 'Times commits were missed and fetched.', () => counts().gaps);
  gauge('diptych_cache_entries', 'Entries held.', () => counts().entries, 'max');
  gauge('diptych_cache_bytes', 'Bytes held, with what entries cost besides.', () => counts().bytes, 'max');
  gauge('diptych_cache_flights', 'Reads of the log under way.', () => cache.flights);
  gauge('diptych_cache_behind_seconds', 'Time since the cache was known to be level with the log.', () => cache.behindMs / 1000, 'max');
}
