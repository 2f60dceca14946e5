import type { Clock } from '@diptych/kernel';
import type { FileSystem } from './file-system.js';
import type { ReportMode } from './report.js';

export interface FileLogOptions {
  /** Made if missing. One process at a time. */
  readonly directory: string;
  readonly partition?: number;
  /** A segment that would grow past this is left for a new one. 64 KiB to 1 GiB; default 64 MiB. */
  readonly segmentBytes?: number;
  /** Appends that wait inside the channel; more wait in line, up to their deadline. 0 or more; default 1,024. */
  readonly channelCapacity?: number;
  /** Appends that wait in line for room; one more is OVERLOADED. Default 4,096. */
  readonly sendersMax?: number;
  /** Of appends that wait, all together, as records; one more is OVERLOADED. Default 64 MiB. */
  readonly queueBytesMax?: number;
  /** Of one group commit, unless a single append is larger. Default 4 MiB. */
  readonly batchBytesMax?: number;
  /** Request ids remembered. Default 100,000. */
  readonly dedupeCountMax?: number;
  /** How long they are remembered at most. Default 10 minutes. */
  readonly dedupeMs?: number;
  /** Commits kept in memory for readers that catch up. Default 100,000. */
  readonly recentCommitsMax?: number;
  readonly reportMode?: ReportMode;
  /** Reports running at once; one more is OVERLOADED. Default 4. */
  readonly reportsMax?: number;
  readonly fileSystem?: FileSystem;
  readonly clock?: Clock;
  /** Something a person should look at: a torn tail was cut, writing failed, writing works again. */
  readonly onWarning?: (message: string) => void;
  /** Each group commit, for measurements. */
  readonly onBatch?: (batch: BatchMeasure) => void;
}

export interface BatchMeasure {
  readonly appends: number;
  readonly bytes: number;
  /** Of the write and the sync together. */
  readonly seconds: number;
}

export const FILE_LOG_DEFAULTS = {
  partition: 0,
  segmentBytes: 64 * 1024 * 1024,
  channelCapacity: 1_024,
  sendersMax: 4_096,
  queueBytesMax: 64 * 1024 * 1024,
  batchBytesMax: 4 * 1024 * 1024,
  dedupeCountMax: 100_000,
  dedupeMs: 600_000,
  recentCommitsMax: 100_000,
  reportMode: 'yielding',
  reportsMax: 4,
} as const satisfies Partial<FileLogOptions>;

/** With the defaults filled in. */
export type FileLogSettings = Required<FileLogOptions>;

export interface FileLogStatus {
  /** Appends are taken. */
  readonly writable: boolean;
  /** Why not, for people. */
  readonly reason?: string | undefined;
  readonly keys: number;
  readonly valueBytes: number;
  /** Of all segments. */
  readonly diskBytes: number;
  readonly segments: number;
  /** Appends that wait for the writer, in the channel and in line for it. */
  readonly queued: number;
  readonly headRevision: number;
}
