import type { SettingsOf } from '@diptych/host';
import { defineSettings } from '@diptych/host';
import { Type } from 'typebox';
import { FILE_LOG_DEFAULTS } from './engine/file-log-options.js';

/** Of the process that holds the log's files: `DIPTYCH_LOG_DATA_DIR` and so on. */
export const LOG_SETTINGS = defineSettings('log', {
  dataDir: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Directory of the log; made if missing, one process at a time. Default: data/<app>, for example data/monolith.',
    }),
  ),
  segmentBytes: Type.Integer({
    default: FILE_LOG_DEFAULTS.segmentBytes,
    minimum: 65_536,
    maximum: 1_073_741_824,
    description: 'A segment file that would grow past this is left for a new one.',
  }),
  channelCapacity: Type.Integer({
    default: FILE_LOG_DEFAULTS.channelCapacity,
    minimum: 0,
    maximum: 1_000_000,
    description: 'Appends that wait inside the channel to the writer; with it full, senders wait in line up to their deadline.',
  }),
  queueBytesMax: Type.Integer({
    default: FILE_LOG_DEFAULTS.queueBytesMax,
    minimum: 1_048_576,
    maximum: 4_294_967_296,
    description: 'Bytes of the appends that wait for the writer, all together; one more is refused with OVERLOADED.',
  }),
  dedupeCount: Type.Integer({
    default: FILE_LOG_DEFAULTS.dedupeCountMax,
    // Callers are told that an append is safe to repeat. Without a window, or with one that a busy second turns over, it would not be.
    minimum: 10_000,
    maximum: 10_000_000,
    description: 'How many of the newest request ids are remembered, so that a repeat gets the first answer; retries count on it.',
  }),
  dedupeMs: Type.Integer({
    default: FILE_LOG_DEFAULTS.dedupeMs,
    minimum: 60_000,
    maximum: 2_592_000_000,
    description: 'For how long a request id is remembered at most, in milliseconds.',
  }),
  compactionGarbageRatio: Type.Number({
    default: FILE_LOG_DEFAULTS.compactionGarbageRatio,
    minimum: 0.05,
    maximum: 1,
    description: 'Segments are compacted when this share of them is garbage; 1 switches compaction off.',
  }),
  compactionGarbageBytes: Type.Integer({
    default: FILE_LOG_DEFAULTS.compactionGarbageBytes,
    minimum: 65_536,
    maximum: 1_073_741_824,
    description: 'Less garbage than this is left alone.',
  }),
  compactionBytesPerSecond: Type.Integer({
    default: FILE_LOG_DEFAULTS.compactionBytesPerSecond,
    minimum: 65_536,
    maximum: 4_294_967_296,
    description: 'How much compaction reads and writes at most, unless there is more garbage than data.',
  }),
  reportMode: Type.Union([Type.Literal('loop'), Type.Literal('yielding'), Type.Literal('worker')], {
    default: FILE_LOG_DEFAULTS.reportMode,
    description: 'How a report runs: holding up the event loop, giving way every few milliseconds, or in another thread.',
  }),
  reportsKept: Type.Integer({
    default: 64,
    minimum: 0,
    maximum: 100_000,
    description: 'So many reports are kept until a key under their prefix changes; 0: each is computed anew. One takes at most 5 kB.',
  }),
});

export type LogSettings = SettingsOf<typeof LOG_SETTINGS>;
