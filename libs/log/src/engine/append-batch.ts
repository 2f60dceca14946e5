import type { Clock, DiptychError } from '@diptych/kernel';
import { assertAlive, isStopped } from '@diptych/kernel';
import { conflictWith, otherPayload } from './append-refusals.js';
import { byteBlock, withRoom } from './byte-block.js';
import { equalBytes, hashBytes } from './byte-hash.js';
import type { DedupeWindow } from './dedupe-window.js';
import { AGED } from './dedupe-window.js';
import type { KeyIndex } from './key-index.js';
import type { PendingAppend } from './pending-append.js';
import { END, OTHER, ProbeTable } from './probe-table.js';
import { encodeRecord, finishRecord, recordHashStart, recordKeyBytes, recordRequestIdBytes, stampRecord } from './record.js';
import { HASH_BYTES, RECORD_HEAD_BYTES } from './record-layout.js';

export interface BatchState {
  readonly index: KeyIndex;
  readonly dedupe: DedupeWindow;
  readonly incarnation: string;
  readonly partition: number;
  readonly clock: Clock;
  readonly head: () => number;
}

/** Where a batch is going to be written, as far as it is known when it is begun. */
export interface BatchPlace {
  readonly batch: number;
  readonly seed: number;
}

/**
 * The appends of one group commit: decided one after the other, each seeing what those before it would leave, and encoded into one
 * buffer for one write. Nothing outside is changed until the sync; then `staged` says what to apply.
 *
 * It may be begun while the batch before it is still at the disk. Then appends see what that one would leave, too, and if it fails, this one has to be begun
 * anew. Answers that rest on an append of either wait for this one's sync, so that nobody learns of what may yet not come to be.
 *
 * Keys and request ids are compared as the bytes that were encoded: no string is made, hashed or kept for them.
 */
export class AppendBatch {
  readonly #state: BatchState;
  readonly #bytesMax: number;
  #block = byteBlock(BUFFER_BYTES_MIN);
  #length = 0;
  #wallMs = 0;
  #atMs = 0;
  /** Revision that the first staged append gets. */
  #firstRevision = 0;
  /** What the checksums were made for that are there already. */
  #place: BatchPlace = { batch: 0, seed: 0 };
  /** At the disk, and not applied. */
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

  /** Nobody waits for it. */
  get isEmpty(): boolean {
    return this.#members.length === 0;
  }

  /** The batch's records, after `finish`. */
  get buffer(): Buffer {
    return this.#block.bytes;
  }

  /** Of the buffer. */
  get view(): DataView {
    return this.#block.view;
  }

  get length(): number {
    return this.#length;
  }

  /** When the last appends were added, on the clock's `nowMs`. */
  get atMs(): number {
    return this.#atMs;
  }

  /** Empties the batch for the next one. @param before the batch at the disk, if there is one */
  begin(place: BatchPlace, before: AppendBatch | undefined): void {
    this.#place = place;
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

  /** Looks at the clock, for the appends that are added next. */
  tick(): void {
    this.#wallMs = this.#state.clock.wallMs();
    this.#atMs = this.#state.clock.nowMs();
  }

  /** Whether there is room left for this one. An empty batch takes anything. */
  hasRoomFor(pending: PendingAppend): boolean {
    return this.#staged.length === 0 || this.#length + pending.bytesBound <= this.#bytesMax;
  }

  /** True: it is answered with the batch. False: it has been answered. Never throws. */
  add(pending: PendingAppend): boolean {
    try {
      // The time of the tick will do, unless it says that time is up.
      if (isStopped(pending.context) || pending.context.deadlineMs <= this.#atMs) assertAlive(pending.context, this.#state.clock);
      if (!this.#decide(pending)) return false;
    } catch (error) {
      pending.reject(error);
      return false;
    }
    this.#members.push(pending);
    return true;
  }

  /** Writes the checksums that are missing, all when the batch goes elsewhere than was thought. */
  finish(place: BatchPlace): void {
    const { batch, seed } = place;
    const last = this.#staged.length - 1;
    const anew = batch !== this.#place.batch || seed !== this.#place.seed;
    this.#place = place;
    for (let i = anew ? 0 : last; i <= last; i++) {
      const { offset, length } = this.#staged[i]!;
      finishRecord(this.#block, offset, offset + length, batch, i === last, seed);
    }
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

  /** As `add`. */
  #decide(pending: PendingAppend): boolean {
    const { request, bytesBound } = pending;
    const offset = this.#length;
    this.#block = withRoom(this.#block, offset, bytesBound);
    const { view } = this.#block;
    const length = encodeRecord(this.#block, offset, request);
    const idBytes = recordRequestIdBytes(view, offset);
    const idHash = hashBytes(view, offset + length - idBytes, idBytes);
    pending.refusal = undefined;
    pending.offset = offset;
    pending.length = length;
    pending.idBytes = idBytes;
    pending.requestIdHash = idHash;
    const repeat = this.#repeat(pending);
    if (repeat !== undefined) return repeat;
    const keyBytes = recordKeyBytes(view, offset);
    const keyHash = hashBytes(view, offset + RECORD_HEAD_BYTES, keyBytes);
    pending.keyBytes = keyBytes;
    pending.keyHash = keyHash;
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
    // The one before it is not the last of the batch, so its checksum will not change any more.
    if (number > 0) {
      const { offset, length } = staged[number - 1]!;
      finishRecord(this.#block, offset, offset + length, this.#place.batch, false, this.#place.seed);
    }
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

  private stagedKey(view: DataView, offset: number, keyBytes: number, keyHash: number): PendingAppend | undefined {
    const cell = this.#cellOf(view, offset, keyBytes, keyHash);
    return cell === NONE ? undefined : this.#staged[this.#byKey.at(cell, keyHash)];
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
    const own = this.stagedId(view, pending);
    const first = own ?? this.#before?.stagedId(view, pending);
    if (first) {
      const { view: firstView } = own ? this.#block : this.#before!.#block;
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
    if (dedupe.hasPayload(entry, view, hashStart))
      pending.resolve({ position: { incarnation, partition, revision: dedupe.revisionOf(entry) }, existed: dedupe.existed(entry) });
    else pending.reject(otherPayload(pending.request.requestId));
    return false;
  }
}

const NONE = -1;
const BUFFER_BYTES_MIN = 256 * 1024;
const TABLE_CELLS_MIN = 256;
