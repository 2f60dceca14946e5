import type { AppendBatch } from './append-batch.js';
import { hashBytes } from './byte-hash.js';
import type { CommitRing } from './commit-ring.js';
import type { DedupeWindow } from './dedupe-window.js';
import type { KeyIndex } from './key-index.js';
import { recordHashStart, recordValueBytes } from './record.js';
import { KIND_DELETE, KIND_PUT, KIND_TRACE, RECORD_HEAD_BYTES } from './record-layout.js';
import type { RecordView } from './record-view.js';

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
  const { view, keyStart, keyBytes, kind, revision } = record;
  if (kind !== KIND_TRACE) {
    const keyHash = hashBytes(view, keyStart, keyBytes);
    const slot = index.find(view, keyStart, keyBytes, keyHash);
    if (kind === KIND_PUT) index.set(slot, view, keyStart, keyBytes, keyHash, segment, offset, record.length, record.valueBytes, revision);
    else index.delete(slot, keyHash);
  }
  if (revision > past.ring) ring.push(view, keyStart, keyBytes, revision, kind === KIND_DELETE);
  if (revision <= past.dedupe) return;
  const { requestIdStart, requestIdBytes } = record;
  const idHash = hashBytes(view, requestIdStart, requestIdBytes);
  dedupe.add(view, requestIdStart, requestIdBytes, idHash, record.hashStart, revision, record.existed, atMs);
}

/**
 * What a batch leaves that is durable, and lies in the view. One table after the other: each of these loops is short, so that the processor has the misses of several appends under
 * way at once.
 */
export function applyBatch({ index, dedupe, ring }: LogState, batch: AppendBatch, view: DataView, place: Place): void {
  const { staged, atMs } = batch;
  for (const append of staged) {
    const { keyHash, length, offset, revision, keyBytes } = append;
    const keyStart = offset + RECORD_HEAD_BYTES;
    const slot = append.keyStagedBefore ? index.find(view, keyStart, keyBytes, keyHash) : append.slot;
    if (append.deleted) index.delete(slot, keyHash);
    else
      index.set(
        slot,
        view,
        keyStart,
        keyBytes,
        keyHash,
        place.segment,
        place.start + offset,
        length,
        recordValueBytes(view, offset),
        revision,
      );
  }
  for (const { offset, revision, keyBytes, deleted, requestIdHash } of staged) {
    ring.push(view, offset + RECORD_HEAD_BYTES, keyBytes, revision, deleted);
    dedupe.touch(requestIdHash);
  }
  dedupe.makeRoom(staged.length, atMs);
  for (const { offset, length, revision, existed, idBytes, requestIdHash, requestIdIsNew } of staged)
    dedupe.add(view, offset + length - idBytes, idBytes, requestIdHash, recordHashStart(offset), revision, existed, atMs, requestIdIsNew);
}

/** Where a batch was written. */
interface Place {
  readonly segment: number;
  readonly start: number;
}
