import type { AppendBatch } from './append-batch.js';
import { hashBytes } from './byte-hash.js';
import type { CommitRing } from './commit-ring.js';
import type { DedupeWindow } from './dedupe-window.js';
import type { KeyIndex } from './key-index.js';
import type { PendingAppend } from './pending-append.js';
import type { RecordView } from './record.js';
import { KIND_DELETE, KIND_PUT, KIND_TRACE } from './record.js';

/** All that is in memory of what is on the disk. */
export interface LogState {
  readonly index: KeyIndex;
  readonly dedupe: DedupeWindow;
  readonly ring: CommitRing;
}

/**
 * What a mutation that was read back leaves. The oldest first.
 *
 * @param past up to which revisions dedupe window and ring would have dropped it again by the end
 */
export function applyRecord(
  { index, dedupe, ring }: LogState,
  record: RecordView,
  segment: number,
  offset: number,
  atMs: number,
  past: { readonly dedupe: number; readonly ring: number },
): void {
  const { bytes, keyStart, keyBytes, kind, revision } = record;
  if (kind !== KIND_TRACE) {
    const keyHash = hashBytes(bytes, keyStart, keyBytes);
    const slot = index.find(bytes, keyStart, keyBytes, keyHash);
    if (kind === KIND_PUT) index.set(slot, record, keyHash, segment, offset, record.length, record.valueBytes, revision);
    else index.delete(slot, keyHash);
  }
  if (revision > past.ring) ring.push(bytes, keyStart, keyBytes, revision, kind === KIND_DELETE);
  if (revision <= past.dedupe) return;
  const { requestIdStart, requestIdBytes } = record;
  const idHash = hashBytes(bytes, requestIdStart, requestIdBytes);
  dedupe.add(bytes, requestIdStart, requestIdBytes, idHash, record.hashStart, revision, record.existed, atMs);
}

/** What an append leaves whose batch is durable. In the order of the batch. */
export function applyAppend({ index, dedupe, ring }: LogState, batch: AppendBatch, append: PendingAppend, place: Place): void {
  const { buffer: bytes } = batch;
  const { revision, deleted, keyHash, length, offset, request } = append;
  const keyStart = batch.keyStart(append);
  const keyBytes = batch.keyBytes(append);
  const slot = append.keyStagedBefore ? index.find(bytes, keyStart, keyBytes, keyHash) : append.slot;
  if (request.mutation.kind === 'put') {
    const { byteLength } = request.mutation.value;
    index.set(slot, { bytes, keyStart, keyBytes }, keyHash, place.segment, place.start + offset, length, byteLength, revision);
  } else index.delete(slot, keyHash);
  batch.remember(append, dedupe);
  ring.push(bytes, keyStart, keyBytes, revision, deleted);
}

/** Where a batch was written. */
interface Place {
  readonly segment: number;
  readonly start: number;
}
