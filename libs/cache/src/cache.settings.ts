import type { SettingsOf } from '@diptych/host';
import { defineSettings } from '@diptych/host';
import { Type } from 'typebox';
import { ENTRY_OVERHEAD_BYTES } from './engine/kept-reply.js';

/** Of the process that holds the cache: `DIPTYCH_CACHE_ENTRIES_MAX` and so on. */
export const CACHE_SETTINGS = defineSettings('cache', {
  entriesMax: Type.Integer({
    default: 100_000,
    minimum: 1,
    maximum: 16_000_000,
    description: 'Entries held at most. Room for their index is taken at the start.',
  }),
  bytesMax: Type.Integer({
    default: 67_108_864,
    minimum: 1_024,
    maximum: Number.MAX_SAFE_INTEGER,
    description: `Bytes held at most: keys, values, content types, and ${ENTRY_OVERHEAD_BYTES} an entry for what it costs besides.`,
  }),
  maxStaleMs: Type.Integer({
    default: 5_000,
    minimum: 200,
    maximum: 3_600_000,
    description:
      'For how long after it was last known to be level with the log the cache answers from memory, in milliseconds; a beacon comes every 100 ms. In one process with the log it is always level.',
  }),
  flightTimeoutMs: Type.Integer({
    default: 5_000,
    minimum: 1,
    maximum: 600_000,
    description: 'For how long the cache waits for one read of the log, in milliseconds, whatever the deadlines of those who wait for it.',
  }),
  flightsMax: Type.Integer({
    default: 1_024,
    minimum: 1,
    maximum: 65_536,
    description: 'Reads of the log under way at most; one more is refused with OVERLOADED.',
  }),
  warmUpKeys: Type.Integer({
    default: 0,
    minimum: 0,
    maximum: 1_000_000,
    description:
      'So many of the keys that were written last are read from the log at the start, before the cache is ready; 0: it starts empty. Never more than it holds.',
  }),
  warmUpBytes: Type.Integer({
    default: 33_554_432,
    minimum: 1_024,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Warming up ends when the cache holds so many bytes.',
  }),
  warmUpMs: Type.Integer({
    default: 5_000,
    minimum: 1,
    maximum: 600_000,
    description: 'Warming up ends after so many milliseconds, done or not; nothing waits for it longer.',
  }),
});

/**
 * Of a process that calls a cache elsewhere: `DIPTYCH_ROUTING_CACHE`. A prefix of its own, so that one set of variables can be given to callers and
 * caches alike.
 */
export const CACHE_ROUTING_SETTINGS = defineSettings('routing', {
  cache: Type.Union([Type.Literal('any'), Type.Literal('key')], {
    default: 'any',
    description:
      'Which of several caches a read goes to: any, the less loaded of two; or by key, always the same one while the caches stay the same, so that each entry takes memory once.',
  }),
});

export type CacheRoutingSettings = SettingsOf<typeof CACHE_ROUTING_SETTINGS>;
export type CacheSettings = SettingsOf<typeof CACHE_SETTINGS>;
