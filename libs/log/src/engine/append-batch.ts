import type { Clock } from '@diptych/kernel';
import { DiptychError, assertAlive, isStopped } from '@diptych/kernel';
import type { AppendReply, Condition } from '../log.port.js';
import { equalBytes, hashBytes } from './byte-hash.js';
import type { DedupeWindow } from './dedupe-window.js';
import { AGED } from './dedupe-window.js';
import type { KeyIndex } from './key-index.js';
import type { PendingAppend } from './pending-append.js';
import { END, OTHER, ProbeTable } from './probe-table.js';
import type { RecordTarget } from './record.js';
import {
  HASH_BYTES,
  RECORD_HEAD_BYTES,
  encodeRecord,
  finishRecord,
  recordHashStart,
  recordKeyBytes,
  recordRequestIdBytes,
  recordTarget,
  stampRecord,
} from './record.js';

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
 * Answers that rest on an append of the same batch wait for the sync too, so that nobody learns of what may yet not come to be.
 *
 * Keys and request ids are compared as the bytes that were encoded: no string is made, hashed or kept for them.
 */
export class AppendBatch {
  readonly #state: BatchState;
  readonly #bytesMax: number;
  #target = recordTarget(BUFFER_BYTES_MIN);
  #length = 0;
  #wallMs = 0;
  #atMs = 0;
  /** Revision that the first staged append gets. */
  #firstRevision = 0;
  #staged: PendingAppend[] = [];
  #refusals: Array<{ pending: PendingAppend; error: DiptychError }> = [];
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

  /** The batch's records, after `finish`. */
  get buffer(): Buffer {
    return this.#target.bytes;
  }

  get length(): number {
    return this.#length;
  }

  /** When it began, on the clock's `nowMs`. */
  get atMs(): number {
    return this.#atMs;
  }

  /** Empties the batch for the next one. */
  begin(): void {
    this.#wallMs = this.#state.clock.wallMs();
    this.#atMs = this.#state.clock.nowMs();
    this.#firstRevision = this.#state.head() + 1;
    this.#length = 0;
    this.#staged = [];
    this.#refusals = [];
    this.#byKey.clear();
    this.#byRequestId.clear();
    if (this.#target.bytes.length > this.#bytesMax * 2) this.#target = recordTarget(BUFFER_BYTES_MIN);
  }

  /** Whether there is room left for this one. An empty batch takes anything. */
  hasRoomFor(pending: PendingAppend): boolean {
    return this.#staged.length === 0 || this.#length + pending.bytesBound <= this.#bytesMax;
  }

  /** Stages the append, or answers it, or puts it with the one it repeats. Never throws. */
  add(pending: PendingAppend): void {
    try {
      // The time of the batch will do, unless it says that time is up.
      if (isStopped(pending.context) || pending.context.deadlineMs <= this.#atMs) assertAlive(pending.context, this.#state.clock);
      this.#stage(pending);
    } catch (error) {
      pending.reject(error);
    }
  }

  /** Writes checksums and the batch's place in its segment. */
  finish(batch: number, seed: number): void {
    const last = this.#staged.length - 1;
    for (let i = 0; i <= last; i++) {
      const { offset, length } = this.#staged[i]!;
      finishRecord(this.#target.bytes, offset, offset + length, batch, i === last, seed);
    }
  }

  /** Where the key of a staged append lies in the buffer. */
  keyStart({ offset }: PendingAppend): number {
    return offset + RECORD_HEAD_BYTES;
  }

  keyBytes({ offset }: PendingAppend): number {
    return recordKeyBytes(this.#target, offset);
  }

  /** As a string that hangs on to nothing larger. */
  keyOf(append: PendingAppend): string {
    const start = this.keyStart(append);
    return this.#target.bytes.toString('utf8', start, start + this.keyBytes(append));
  }

  /** Has the window remember a staged append. */
  remember({ offset, length, revision, existed, requestIdHash, requestIdIsNew }: PendingAppend, dedupe: DedupeWindow): void {
    const { bytes } = this.#target;
    const idBytes = recordRequestIdBytes(this.#target, offset);
    const payload = recordHashStart(offset);
    dedupe.add(bytes, offset + length - idBytes, idBytes, requestIdHash, payload, revision, existed, this.#atMs, requestIdIsNew);
  }

  /** The batch is durable and applied: everyone gets their answer. */
  succeed(): void {
    for (const pending of this.#staged) {
      const reply = this.#reply(pending.revision, pending.existed);
      pending.resolve(reply);
      if (pending.repeats) for (const repeat of pending.repeats) repeat.resolve(reply);
      pending.release();
    }
    for (const { pending, error } of this.#refusals) pending.reject(error);
  }

  /** The batch did not become durable, and with it fails what rested on it. */
  fail(error: DiptychError): void {
    for (const { reject, repeats } of this.#staged) {
      reject(error);
      if (repeats) for (const repeat of repeats) repeat.reject(error);
    }
    for (const { pending } of this.#refusals) pending.reject(error);
  }

  #stage(pending: PendingAppend): void {
    const { request, bytesBound } = pending;
    const { condition } = request;
    const offset = this.#length;
    this.#reserve(bytesBound);
    const target = this.#target;
    const length = encodeRecord(target, offset, request);
    pending.offset = offset;
    pending.length = length;
    const idBytes = recordRequestIdBytes(target, offset);
    pending.requestIdHash = hashBytes(target.bytes, offset + length - idBytes, idBytes);
    if (this.#isRepeat(pending, idBytes)) return;
    const keyBytes = recordKeyBytes(target, offset);
    const keyHash = hashBytes(target.bytes, offset + RECORD_HEAD_BYTES, keyBytes);
    const cell = this.#stagedKey(target, offset, keyBytes, keyHash);
    const slot = cell === undefined ? this.#state.index.find(target.bytes, offset + RECORD_HEAD_BYTES, keyBytes, keyHash) : undefined;
    const current = cell === undefined ? this.#revisionAt(slot) : this.#stagedRevision(cell, keyHash);
    const refusal = condition && this.#refusal(condition, current);
    if (refusal) {
      if (cell === undefined) pending.reject(refusal);
      else this.#refusals.push({ pending, error: refusal });
      return;
    }
    const previous = this.#firstRevision + this.#staged.length - 1;
    pending.revision = previous + 1;
    pending.existed = current !== 0;
    pending.keyHash = keyHash;
    pending.slot = slot;
    pending.keyStagedBefore = cell !== undefined;
    stampRecord(target.bytes, offset, { revision: pending.revision, previous, wallMs: this.#wallMs, existed: pending.existed });
    if (cell === undefined) this.#byKey.add(keyHash, this.#staged.length);
    else this.#byKey.replace(cell, this.#staged.length);
    this.#byRequestId.add(pending.requestIdHash, this.#staged.length);
    this.#staged.push(pending);
    this.#length += length;
  }

  /** The cell of `#byKey` that has the key; undefined when no staged append has it. */
  #stagedKey(target: RecordTarget, offset: number, keyBytes: number, keyHash: number): number | undefined {
    const table = this.#byKey;
    for (let cell = table.first(keyHash), entry; (entry = table.at(cell, keyHash)) !== END; cell = table.next(cell)) {
      if (entry === OTHER) continue;
      const other = this.#staged[entry]!.offset;
      if (recordKeyBytes(target, other) !== keyBytes) continue;
      if (equalBytes(target.bytes, other + RECORD_HEAD_BYTES, target.bytes, offset + RECORD_HEAD_BYTES, keyBytes)) return cell;
    }
    return undefined;
  }

  /** That the staged appends leave a key with; 0 for absent. */
  #stagedRevision(cell: number, keyHash: number): number {
    const { deleted, revision } = this.#staged[this.#byKey.at(cell, keyHash)]!;
    return deleted ? 0 : revision;
  }

  #revisionAt(slot: number | undefined): number {
    return slot === undefined ? 0 : this.#state.index.revisionAt(slot);
  }

  #stagedRepeat({ offset, length, requestIdHash }: PendingAppend, idBytes: number): PendingAppend | undefined {
    const table = this.#byRequestId;
    const { bytes } = this.#target;
    for (let cell = table.first(requestIdHash), entry; (entry = table.at(cell, requestIdHash)) !== END; cell = table.next(cell)) {
      if (entry === OTHER) continue;
      const other = this.#staged[entry]!;
      if (recordRequestIdBytes(this.#target, other.offset) !== idBytes) continue;
      if (equalBytes(bytes, other.offset + other.length - idBytes, bytes, offset + length - idBytes, idBytes)) return other;
    }
    return undefined;
  }

  /** Comes before the condition: what the first one did may be why the condition no longer holds. */
  #isRepeat(pending: PendingAppend, idBytes: number): boolean {
    const { offset, length, requestIdHash, request } = pending;
    const { bytes } = this.#target;
    const { dedupe } = this.#state;
    const hashStart = recordHashStart(offset);
    const staged = this.#stagedRepeat(pending, idBytes);
    if (staged) {
      const same = equalBytes(bytes, recordHashStart(staged.offset), bytes, hashStart, HASH_BYTES);
      if (same) (staged.repeats ??= []).push(pending);
      else this.#refusals.push({ pending, error: otherPayload(request.requestId) });
      return true;
    }
    const remembered = dedupe.get(bytes, offset + length - idBytes, idBytes, requestIdHash, this.#atMs);
    pending.requestIdIsNew = remembered === undefined;
    if (remembered === undefined || remembered === AGED) return false;
    if (dedupe.hasPayload(remembered, bytes, hashStart))
      pending.resolve(this.#reply(dedupe.revisionOf(remembered), dedupe.existed(remembered)));
    else pending.reject(otherPayload(request.requestId));
    return true;
  }

  #refusal(condition: Condition, current: number): DiptychError | undefined {
    const { incarnation, partition } = this.#state;
    if (condition.kind === 'ifAbsent') return current === 0 ? undefined : conflict('the key is present');
    if (current === 0) return conflict('the key is absent');
    if (condition.kind === 'ifPresent') return undefined;
    const matches = condition.anyOf.some(
      (position) => position.revision === current && position.incarnation === incarnation && position.partition === partition,
    );
    return matches ? undefined : conflict('the key has another revision');
  }

  #reply(revision: number, existed: boolean): AppendReply {
    return { position: { incarnation: this.#state.incarnation, partition: this.#state.partition, revision }, existed };
  }

  #reserve(bytes: number): void {
    const { bytes: before } = this.#target;
    if (this.#length + bytes <= before.length) return;
    this.#target = recordTarget(Math.max(before.length * 2, this.#length + bytes));
    before.copy(this.#target.bytes, 0, 0, this.#length);
  }
}

function conflict(why: string): DiptychError {
  return new DiptychError('CONFLICT', `the condition does not hold: ${why}`);
}

function otherPayload(requestId: string): DiptychError {
  return new DiptychError('INVALID_REQUEST', `the requestId ${JSON.stringify(requestId)} was used with another mutation`);
}

const BUFFER_BYTES_MIN = 256 * 1024;
const TABLE_CELLS_MIN = 256;
