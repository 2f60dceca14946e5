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
  /** Of one group commit, unless a single append is larger. Up to 64 MiB; default 4 MiB. */
  readonly batchBytesMax?: number;
  /**
   * A batch of so many appends, or of so many bytes, may go to the disk while more are staged for the next, if that keeps the disk from waiting for the
   * processor. Default 32, and 32 KiB.
   */
  readonly pipelineAppendsMin?: number;
  readonly pipelineBytesMin?: number;
  /**
   * Bytes that are written ahead of small batches, so that most syncs change no file's length and need not wait for the file system's journal; 0: none, for a
   * file system that never writes in place. At most half a segment; default 256 KiB.
   */
  readonly roomBytes?: number;
  /** After so many batches a thread of the log's own writes them, rather than Node's pool; Infinity: never. Default 64. */
  readonly commitThreadAfter?: number;
  /** Request ids remembered. Default 100,000. */
  readonly dedupeCountMax?: number;
  /** How long they are remembered at most. Default 10 minutes. */
  readonly dedupeMs?: number;
  /** Commits kept in memory for readers that catch up. Default 100,000. */
  readonly recentCommitsMax?: number;
  /**
   * A segment that is written to no more is compacted when this share of it is garbage. Over 0 up to 1, which switches compaction off. Default
   * 0.5: at most twice the bytes of what counts, and a few segments, lie on the disk.
   */
  readonly compactionGarbageRatio?: number;
  /** Less garbage than this is left alone. Default 4 MiB. */
  readonly compactionGarbageBytes?: number;
  /** Read and written by compaction, unless there is more garbage than data. Default 16 MiB. */
  readonly compactionBytesPerSecond?: number;
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

/** Holds fewer records than revisions are left out after a cut: see SKIPPED_REVISIONS. */
export const BATCH_BYTES_MAX = 64 * 1024 * 1024;

export const FILE_LOG_DEFAULTS = {
  partition: 0,
  segmentBytes: 64 * 1024 * 1024,
  channelCapacity: 1_024,
  sendersMax: 4_096,
  queueBytesMax: 64 * 1024 * 1024,
  batchBytesMax: 4 * 1024 * 1024,
  pipelineAppendsMin: 32,
  pipelineBytesMin: 32 * 1024,
  roomBytes: 256 * 1024,
  commitThreadAfter: 64,
  dedupeCountMax: 100_000,
  dedupeMs: 600_000,
  recentCommitsMax: 100_000,
  compactionGarbageRatio: 0.5,
  compactionGarbageBytes: 4 * 1024 * 1024,
  compactionBytesPerSecond: 16 * 1024 * 1024,
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
  readonly compaction: CompactionStatus;
}

export interface CompactionStatus {
  /** About how much compaction could free; what the newest segment holds of it has to wait. */
  readonly garbageBytes: number;
  /** Since the open. */
  readonly compactions: number;
  readonly reclaimedBytes: number;
  /** In a row; 0 after a success. */
  readonly failures: number;
  /** Of the last attempt, for people; undefined after a success. */
  readonly error?: string | undefined;
}
