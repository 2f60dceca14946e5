import type { CallContext } from '@diptych/kernel';
import type { AppendReply, AppendRequest } from '../log.port.js';
import type { ByteBlock } from './byte-block.js';
import { hashBytes } from './byte-hash.js';
import { encodeRecord, recordBytesBound, recordKeyBytes, recordRequestIdBytes } from './record.js';
import { RECORD_HEAD_BYTES } from './record-layout.js';

/** An append from call to answer. One object for all of its way, since there are several hundred thousand a second. */
export class PendingAppend {
  request: AppendRequest;
  context: CallContext;
  resolve: (reply: AppendReply) => void;
  reject: (error: unknown) => void;
  /** Room that surely suffices for its record. */
  bytesBound: number;
  /** In the line, and not answered. */
  waiting = true;

  // The rest is what a batch decided.

  /** Of its own record; of one that it repeats, when it has none. */
  revision = 0;
  /** Whether the key was there before. */
  existed = false;
  /** Why it is refused once the batch is durable, because of what the batch, or one before it, leaves. */
  refusal: unknown;
  deleted = false;
  /** Of the record in the batch's buffer. */
  offset = 0;
  length = 0;
  keyBytes = 0;
  idBytes = 0;
  keyHash = 0;
  requestIdHash = 0;
  /** The dedupe window did not have it. */
  requestIdIsNew = false;
  /** In the key index; undefined when the key was absent. */
  slot: number | undefined;
  /** Another append that was not yet applied has its key: the slot may be out of date. */
  keyStagedBefore = false;

  private constructor(
    request: AppendRequest,
    context: CallContext,
    resolve: (reply: AppendReply) => void,
    reject: (error: unknown) => void,
  ) {
    this.request = request;
    this.context = context;
    this.resolve = resolve;
    this.reject = reject;
    this.bytesBound = recordBytesBound(request);
  }

  /** One that was used before, if there is any. */
  static of(
    request: AppendRequest,
    context: CallContext,
    resolve: (reply: AppendReply) => void,
    reject: (error: unknown) => void,
  ): PendingAppend {
    const used = pool.pop();
    if (!used) return new PendingAppend(request, context, resolve, reject);
    used.request = request;
    used.context = context;
    used.resolve = resolve;
    used.reject = reject;
    used.bytesBound = recordBytesBound(request);
    used.waiting = true;
    return used;
  }

  /** Writes its record into a block with room for it. Never throws: one that cannot be encoded has no bytes then, and says why in `refusal`. */
  encode(block: ByteBlock, offset: number): void {
    this.offset = offset;
    this.length = 0;
    try {
      const { view } = block;
      const length = encodeRecord(block, offset, this.request);
      this.refusal = undefined;
      this.idBytes = recordRequestIdBytes(view, offset);
      this.requestIdHash = hashBytes(view, offset + length - this.idBytes, this.idBytes);
      this.keyBytes = recordKeyBytes(view, offset);
      this.keyHash = hashBytes(view, offset + RECORD_HEAD_BYTES, this.keyBytes);
      this.length = length;
    } catch (error) {
      this.refusal = error;
    }
  }

  /**
   * After the answer: holds on to nothing of the call any more, above all not to its value, when it stays in line. Nor is garbage kept alive by garbage:
   * under load V8 puts these objects where it seldom collects, and what they point at would stay there until then (half of all processor time went
   * into that).
   */
  letGo(): void {
    this.request = LET_GO;
    this.context = ENDED;
    this.resolve = this.reject = nobody;
    this.refusal = undefined;
  }

  /** After the answer, by whoever knew it last. */
  release(): void {
    this.letGo();
    if (pool.length < POOL_MAX) pool.push(this);
  }
}

const LET_GO: AppendRequest = { mutation: { kind: 'delete', key: '' }, requestId: '' };
const ENDED: CallContext = { deadlineMs: 0 };
const nobody = () => undefined;

const pool: PendingAppend[] = [];
const POOL_MAX = 4_096;
