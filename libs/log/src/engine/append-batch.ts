import type { Clock, DiptychError } from '@diptych/kernel';
import { assertAlive, isStopped } from '@diptych/kernel';
import { conflictWith, otherPayload } from './append-refusals.js';
import type { ByteBlock } from './byte-block.js';
import { byteBlock, withRoom } from './byte-block.js';
import { equalBytes } from './byte-hash.js';
import type { DedupeWindow } from './dedupe-window.js';
import { AGED } from './dedupe-window.js';
import type { KeyIndex } from './key-index.js';
import type { PendingAppend } from './pending-append.js';
import { END, OTHER, ProbeTable } from './probe-table.js';
import { markBatch, recordHashStart, stampRecord, writePayloadHash } from './record.js';
import { HASH_BYTES, RECORD_HEAD_BYTES } from './record-layout.js';

export interface BatchState {
  readonly index: KeyIndex;
  readonly dedupe: DedupeWindow;
  readonly incarnation: string;
  readonly partition: number;
  readonly clock: Clock;
  readonly head: () => number;
}

/**
 * The appends of one group commit: decided one after the other, each seeing what those before it would leave, and encoded into one
 * buffer for one write. Nothing outside is changed until the sync; then `staged` says what to apply.
 *
 * It may be begun while batches before it are still at the disk. Then appends see what those would leave, too, and if one fails, this one has to be begun
 * anew. Answers that rest on an append of any of them wait for this one's sync, so that nobody learns of what may yet not come to be.
 *
 * Keys and request ids are compared as the bytes that were encoded: no string is made, hashed or kept for them.
 */
export class AppendBatch {
  readonly #state: BatchState;
  readonly #bytesMax: number;
  #block = byteBlock(BUFFER_BYTES_MIN);
  #length = 0;
  /** Behind the batch's records lie those that are prepared, up to here. */
  #preparedEnd = 0;
  #wallMs = 0;
  #atMs = 0;
  /** Revision that the first staged append gets. */
  #firstRevision = 0;
  /** Its number in the segment, as the records say. */
  #batch = 0;
  /** Not applied yet; it may have one before it. */
  #before: AppendBatch | undefined;
  /** Who is answered with the batch, in order. */
  #members: PendingAppend[] = [];
  /** Those of them with a record of their own. */
  #staged: PendingAppend[] = [];
  /** By key, the last staged append of it: its place in `#staged`. */
  readonly #byKey = new ProbeTable(TABLE_CELLS_MIN);
  readonly #byRequestId = new ProbeTable(TABLE_CELLS_MIN);

  constructor(state: BatchState, bytesMax: number) {
    this.#state = state;
    this.#bytesMax = bytesMax;
  }

  get staged(): readonly PendingAppend[] {
    return this.#staged;
  }

  /** Its number in the segment, as far as it is known. */
  get number(): number {
    return this.#batch;
  }

  /** Who waits for it, in order. */
  get members(): readonly PendingAppend[] {
    return this.#members;
  }

  /** Holds the batch's records, after `finish` all but what `completeRecords` writes. */
  get block(): ByteBlock {
    return this.#block;
  }

  get length(): number {
    return this.#length;
  }

  /** When the last appends were added, on the clock's `nowMs`. */
  get atMs(): number {
    return this.#atMs;
  }

  /** Empties the batch for the next one. @param batch its number, as far as it is known @param before the last one that is not applied, if there is one */
  begin(batch: number, before: AppendBatch | undefined): void {
    this.#batch = batch;
    this.#before = before;
    this.#firstRevision = (before ? before.#firstRevision + before.#staged.length - 1 : this.#state.head()) + 1;
    this.#length = 0;
    this.#members = [];
    this.#staged = [];
    this.#byKey.clear();
    this.#byRequestId.clear();
    if (this.#block.bytes.length > this.#bytesMax * 2) this.#block = byteBlock(BUFFER_BYTES_MIN);
  }

  /** The batch before this one is durable and applied. */
  onBeforeApplied(): void {
    this.#before = undefined;
  }

  /** Looks at the clock, for the appends that are prepared next. */
  tick(): void {
    this.#wallMs = this.#state.clock.wallMs();
    this.#atMs = this.#state.clock.nowMs();
  }

  /** Whether there is room left for this one. An empty batch takes anything. */
  hasRoomFor(pending: PendingAppend): boolean {
    return this.#hasRoomAfter(this.#length, pending);
  }

  /**
   * Encodes the first of these appends, as many as there is room for, in about so many bytes; `add` each of them right afterwards. So what has to be looked up
   * for all of them is on its way to the processor before the first one asks for it. Returns how many.
   */
  prepare(appends: readonly PendingAppend[], bytesMax: number): number {
    const { index, dedupe } = this.#state;
    this.#preparedEnd = this.#length;
    let count = 0;
    for (const pending of appends) {
      if (this.#preparedEnd >= this.#length + bytesMax || !this.#hasRoomAfter(this.#preparedEnd, pending)) break;
      this.#block = withRoom(this.#block, this.#preparedEnd, pending.bytesBound);
      pending.encode(this.#block, this.#preparedEnd);
      this.#preparedEnd += pending.length;
      dedupe.touch(pending.requestIdHash);
      index.touch(pending.keyHash);
      count++;
    }
    return count;
  }

  /** True: it is answered with the batch. False: it has been answered. Never throws. */
  add(pending: PendingAppend): boolean {
    try {
      // The time of the tick will do, unless it says that time is up.
      if (isStopped(pending.context) || pending.context.deadlineMs <= this.#atMs) assertAlive(pending.context, this.#state.clock);
      if (pending.length > 0) {
        if (!this.#decide(pending)) return false;
      } else {
        pending.reject(pending.refusal);
        return false;
      }
    } catch (error) {
      pending.reject(error);
      return false;
    }
    this.#members.push(pending);
    return true;
  }

  /** Nothing is added any more. @param batch its number, which may be another than was thought */
  finish(batch: number): void {
    const last = this.#staged.length - 1;
    for (let i = batch === this.#batch ? last : 0; i <= last; i++) markBatch(this.#block, this.#staged[i]!.offset, batch, i === last);
    this.#batch = batch;
  }

  /** The key of a staged append as a string that hangs on to nothing larger. */
  keyOf({ offset, keyBytes }: PendingAppend): string {
    const start = offset + RECORD_HEAD_BYTES;
    return this.#block.bytes.toString('utf8', start, start + keyBytes);
  }

  /** The batch is durable and applied: everyone gets their answer. */
  succeed(): void {
    const { incarnation, partition } = this.#state;
    for (const pending of this.#members) {
      const { refusal, revision, existed } = pending;
      if (refusal === undefined) pending.resolve({ position: { incarnation, partition, revision }, existed });
      else pending.reject(refusal);
      pending.release();
    }
  }

  /** The batch did not become durable, and with it fails what rested on it. */
  fail(error: DiptychError): void {
    for (const pending of this.#members) {
      pending.reject(error);
      pending.release();
    }
  }

  #hasRoomAfter(end: number, { bytesBound }: PendingAppend): boolean {
    return end === 0 || end + bytesBound <= this.#bytesMax;
  }

  /** As `add`. */
  #decide(pending: PendingAppend): boolean {
    const { request, keyBytes, keyHash } = pending;
    const offset = this.#length;
    // One before it got no place in the batch.
    if (pending.offset !== offset) this.#block.bytes.copyWithin(offset, pending.offset, pending.offset + pending.length);
    pending.offset = offset;
    const { view } = this.#block;
    const repeat = this.#repeat(pending);
    if (repeat !== undefined) return repeat;
    const cell = this.#cellOf(view, offset, keyBytes, keyHash);
    const twin = cell === NONE ? this.#before?.stagedKey(view, offset, keyBytes, keyHash) : this.#staged[this.#byKey.at(cell, keyHash)]!;
    pending.keyStagedBefore = twin !== undefined;
    let current: number;
    if (twin !== undefined) current = twin.deleted ? 0 : twin.revision;
    else {
      pending.slot = this.#state.index.find(view, offset + RECORD_HEAD_BYTES, keyBytes, keyHash);
      current = pending.slot === undefined ? 0 : this.#state.index.revisionAt(pending.slot);
    }
    pending.refusal = request.condition && conflictWith(request.condition, current, this.#state);
    if (pending.refusal !== undefined) {
      if (twin !== undefined) return true;
      pending.reject(pending.refusal);
      return false;
    }
    this.#stage(pending, cell, current !== 0);
    return true;
  }

  #stage(pending: PendingAppend, cell: number, existed: boolean): void {
    const staged = this.#staged;
    const number = staged.length;
    const previous = this.#firstRevision + number - 1;
    pending.revision = previous + 1;
    pending.existed = existed;
    pending.deleted = pending.request.mutation.kind === 'delete';
    stampRecord(this.#block, pending.offset, previous + 1, previous, this.#wallMs, existed);
    if (cell === NONE) this.#byKey.add(pending.keyHash, number);
    else this.#byKey.replace(cell, number);
    this.#byRequestId.add(pending.requestIdHash, number);
    markBatch(this.#block, pending.offset, this.#batch, false);
    staged.push(pending);
    this.#length += pending.length;
  }

  /** The cell of `#byKey` that has the key which lies in a record; NONE when no staged append has it. */
  #cellOf(view: DataView, offset: number, keyBytes: number, keyHash: number): number {
    const table = this.#byKey;
    for (let cell = table.first(keyHash), entry; (entry = table.at(cell, keyHash)) !== END; cell = table.next(cell)) {
      if (entry === OTHER) continue;
      const other = this.#staged[entry]!;
      if (other.keyBytes !== keyBytes) continue;
      if (equalBytes(this.#block.view, other.offset + RECORD_HEAD_BYTES, view, offset + RECORD_HEAD_BYTES, keyBytes)) return cell;
    }
    return NONE;
  }

  /** The last append of a key that is staged, here or before. */
  private stagedKey(view: DataView, offset: number, keyBytes: number, keyHash: number): PendingAppend | undefined {
    const cell = this.#cellOf(view, offset, keyBytes, keyHash);
    return cell === NONE ? this.#before?.stagedKey(view, offset, keyBytes, keyHash) : this.#staged[this.#byKey.at(cell, keyHash)];
  }

  /** The staged append that has the request id of this one, whose record lies in the view. */
  private stagedId(view: DataView, { offset, length, idBytes, requestIdHash }: PendingAppend): PendingAppend | undefined {
    const table = this.#byRequestId;
    for (let cell = table.first(requestIdHash), entry; (entry = table.at(cell, requestIdHash)) !== END; cell = table.next(cell)) {
      if (entry === OTHER) continue;
      const other = this.#staged[entry]!;
      if (other.idBytes !== idBytes) continue;
      if (equalBytes(this.#block.view, other.offset + other.length - idBytes, view, offset + length - idBytes, idBytes)) return other;
    }
    return undefined;
  }

  /** As `add` when it is one; undefined when not. Comes before the condition: what the first one did may be why that no longer holds. */
  #repeat(pending: PendingAppend): boolean | undefined {
    const { view } = this.#block;
    const hashStart = recordHashStart(pending.offset);
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- the first of a chain
    for (let batch: AppendBatch | undefined = this; batch; batch = batch.#before) {
      const first = batch.stagedId(view, pending);
      if (!first) continue;
      const { view: firstView } = batch.#block;
      // Whoever completes the records may be about to write the same.
      writePayloadHash(firstView, first.offset);
      writePayloadHash(view, pending.offset);
      const same = equalBytes(firstView, recordHashStart(first.offset), view, hashStart, HASH_BYTES);
      if (same) ({ revision: pending.revision, existed: pending.existed } = first);
      else pending.refusal = otherPayload(pending.request.requestId);
      return true;
    }
    const { dedupe, incarnation, partition } = this.#state;
    const { offset, length, idBytes, requestIdHash } = pending;
    const entry = dedupe.get(view, offset + length - idBytes, idBytes, requestIdHash, this.#atMs);
    pending.requestIdIsNew = entry === undefined;
    if (entry === undefined || entry === AGED) return undefined;
    writePayloadHash(view, offset);
    if (dedupe.hasPayload(entry, view, hashStart))
      pending.resolve({ position: { incarnation, partition, revision: dedupe.revisionOf(entry) }, existed: dedupe.existed(entry) });
    else pending.reject(otherPayload(pending.request.requestId));
    return false;
  }
}

const NONE = -1;
const BUFFER_BYTES_MIN = 256 * 1024;
const TABLE_CELLS_MIN = 256;
