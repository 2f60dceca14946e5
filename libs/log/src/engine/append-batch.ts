import type { CallContext, Clock } from '@diptych/kernel';
import { DiptychError, assertAlive } from '@diptych/kernel';
import type { AppendReply, AppendRequest, Condition } from '../log.port.js';
import type { DedupeWindow } from './dedupe-window.js';
import type { KeyIndex } from './key-index.js';
import { encodeRecord, finishRecord, recordBytesBound, recordHash, recordKey, recordRequestId, stampRecord } from './record.js';

/** An append that waits for its answer. */
export interface PendingAppend {
  readonly request: AppendRequest;
  readonly context: CallContext;
  readonly resolve: (reply: AppendReply) => void;
  readonly reject: (error: unknown) => void;
}

/** An append that is encoded and waits for the sync. */
export interface StagedAppend {
  readonly pending: PendingAppend;
  readonly deleted: boolean;
  readonly revision: number;
  readonly existed: boolean;
  /** In the batch's buffer. */
  readonly offset: number;
  readonly length: number;
  readonly hash: string;
  /** The same request once more, waiting for the same answer. */
  repeats: PendingAppend[] | undefined;
}

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
 */
export class AppendBatch {
  readonly #state: BatchState;
  readonly #bytesMax: number;
  #buffer = Buffer.allocUnsafeSlow(256 * 1024);
  #length = 0;
  #wallMs = 0;
  #atMs = 0;
  #staged: StagedAppend[] = [];
  #refusals: Array<{ pending: PendingAppend; error: DiptychError }> = [];
  /** Revision that the staged appends leave a key with; 0 for absent. */
  readonly #revisions = new Map<string, number>();
  readonly #byRequestId = new Map<string, StagedAppend>();

  constructor(state: BatchState, bytesMax: number) {
    this.#state = state;
    this.#bytesMax = bytesMax;
  }

  get staged(): readonly StagedAppend[] {
    return this.#staged;
  }

  /** The batch's records, after `finish`. */
  get buffer(): Buffer {
    return this.#buffer;
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
    this.#length = 0;
    this.#staged = [];
    this.#refusals = [];
    this.#revisions.clear();
    this.#byRequestId.clear();
    if (this.#buffer.length > this.#bytesMax * 2) this.#buffer = Buffer.allocUnsafeSlow(256 * 1024);
  }

  /** Whether there is room left for this one. An empty batch takes anything. */
  hasRoomFor({ request }: PendingAppend): boolean {
    return this.#staged.length === 0 || this.#length + recordBytesBound(request) <= this.#bytesMax;
  }

  /** Stages the append, or answers it, or puts it with the one it repeats. Never throws. */
  add(pending: PendingAppend): void {
    try {
      assertAlive(pending.context, this.#state.clock);
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
      finishRecord(this.#buffer, offset, offset + length, batch, i === last, seed);
    }
  }

  /** As a string that hangs on to nothing larger. */
  keyOf({ offset }: StagedAppend): string {
    return recordKey(this.#buffer, offset);
  }

  /** As a string that hangs on to nothing larger. */
  requestIdOf({ offset, length }: StagedAppend): string {
    return recordRequestId(this.#buffer, offset, offset + length);
  }

  /** The batch is durable and applied: everyone gets their answer. */
  succeed(): void {
    for (const { pending, repeats, revision, existed } of this.#staged) {
      const reply = this.#reply(revision, existed);
      pending.resolve(reply);
      if (repeats) for (const repeat of repeats) repeat.resolve(reply);
    }
    for (const { pending, error } of this.#refusals) pending.reject(error);
  }

  /** The batch did not become durable, and with it fails what rested on it. */
  fail(error: DiptychError): void {
    for (const { pending, repeats } of this.#staged) {
      pending.reject(error);
      if (repeats) for (const repeat of repeats) repeat.reject(error);
    }
    for (const { pending } of this.#refusals) pending.reject(error);
  }

  #stage(pending: PendingAppend): void {
    const { request } = pending;
    const { mutation, condition, requestId } = request;
    const offset = this.#length;
    this.#reserve(recordBytesBound(request));
    const length = encodeRecord(this.#buffer, offset, request);
    const hash = recordHash(this.#buffer, offset);
    if (this.#isRepeat(pending, hash)) return;
    const staged = this.#revisions.get(mutation.key);
    const current = staged ?? this.#state.index.revisionOf(mutation.key);
    const refusal = condition && this.#refusal(condition, current);
    if (refusal) {
      if (staged === undefined) pending.reject(refusal);
      else this.#refusals.push({ pending, error: refusal });
      return;
    }
    const previous = this.#state.head() + this.#staged.length;
    const revision = previous + 1;
    const existed = current !== 0;
    const deleted = mutation.kind === 'delete';
    stampRecord(this.#buffer, offset, { revision, previous, wallMs: this.#wallMs, existed });
    const append: StagedAppend = { pending, deleted, revision, existed, offset, length, hash, repeats: undefined };
    this.#staged.push(append);
    this.#length += length;
    this.#revisions.set(mutation.key, deleted ? 0 : revision);
    this.#byRequestId.set(requestId, append);
  }

  /** Comes before the condition: what the first one did may be why the condition no longer holds. */
  #isRepeat(pending: PendingAppend, hash: string): boolean {
    const { requestId } = pending.request;
    const staged = this.#byRequestId.get(requestId);
    if (staged) {
      if (staged.hash === hash) (staged.repeats ??= []).push(pending);
      else this.#refusals.push({ pending, error: otherPayload(requestId) });
      return true;
    }
    const remembered = this.#state.dedupe.get(requestId, this.#atMs);
    if (!remembered) return false;
    if (remembered.hash === hash) pending.resolve(this.#reply(remembered.revision, remembered.existed));
    else pending.reject(otherPayload(requestId));
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
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

function conflict(why: string): DiptychError {
  return new DiptychError('CONFLICT', `the condition does not hold: ${why}`);
}

function otherPayload(requestId: string): DiptychError {
  return new DiptychError('INVALID_REQUEST', `the requestId ${JSON.stringify(requestId)} was used with another mutation`);
}
