import type { File } from './file-system.js';
import type { CompactedHeader } from './segment-header.js';

export interface Segment {
  /** What the index calls it. Given to another once nobody can know this one any more. */
  readonly id: number;
  readonly path: string;
  readonly firstRevision: number;
  readonly seed: number;
  /** Stays open until the store closes, or the segment was replaced and its last reader is done: reads never meet a closed file. */
  readonly reader: File;
  readonly skips: number;
  readonly compacted: CompactedHeader | undefined;
  /** Everything before this is durable; nothing after it is ever read. */
  length: number;
  readonly tally: SegmentTally;
}

/** What is in a segment, for compaction to plan by. Seals are not counted. */
export interface SegmentTally {
  records: number;
  tombstoneBytes: number;
  traceBytes: number;
  /** When its newest mutation was written, on the clock's `nowMs`. */
  newestAtMs: number;
}

export function emptyTally(): SegmentTally {
  return { records: 0, tombstoneBytes: 0, traceBytes: 0, newestAtMs: -Infinity };
}
