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
});

export type CacheSettings = SettingsOf<typeof CACHE_SETTINGS>;
