import { DiptychError, toDiptychError } from '@diptych/kernel';
import { recycle } from '../codec.js';
import type { FaultListener } from '../faults.js';
import type { Part } from '../part.js';
import type { Connection } from './connection.js';
import type { Exchange } from './served-call.js';
import { ALONE_BYTES, answerPart, errorPart, FRAME_BYTES_MAX, FRAME_COUNT_MAX, REPLY_ROOM_BYTES, ReplyKind, sealReplies } from './wire.js';

/**
 * The replies of a link on their way out. Those to one caller that are ready in the same turn of the event loop share a frame, whichever
 * frames their calls came in: none waits for the others of its own. A reply leaves at once when no other call is being worked on.
 */
export class Replies {
  readonly #connection: Connection;
  readonly #onFault: FaultListener;
  readonly #messageBytesMax: () => number;
  readonly #callers = new Map<string, Caller>();
  readonly #waiting: Caller[] = [];
  readonly #sendAll = () => this.flush();
  #turnEnd: NodeJS.Immediate | undefined;
  #working = 0;
  #isDropping = false;

  constructor(connection: Connection, messageBytesMax: () => number, onFault: FaultListener) {
    this.#connection = connection;
    this.#messageBytesMax = messageBytesMax;
    this.#onFault = onFault;
  }

  /** Whoever sent from this inbox. Remembered, so that the replies to it come together. */
  callerOf(inbox: string): Caller {
    let caller = this.#callers.get(inbox);
    if (!caller) {
      if (this.#callers.size >= CALLERS_MAX) {
        const [oldest] = this.#callers.keys();
        // Its waiting replies are held by `#waiting`, so they are sent all the same.
        this.#callers.delete(oldest!);
      }
      this.#callers.set(inbox, (caller = new Caller(inbox)));
    }
    return caller;
  }

  /** One call more, or with -1 one less, is being worked on. */
  work(change: 1 | -1): void {
    this.#working += change;
  }

  exchange(caller: Caller, id: number, what: string): Exchange {
    return new FramedExchange(this, caller, id, what);
  }

  /** @internal @throws INTERNAL */
  answer(caller: Caller, id: number, kind: ReplyKind, what: string, value: unknown): number {
    const part = answerPart(what, id, kind, value, this.#messageBytesMax());
    this.#post(caller, id, part);
    return part.byteLength;
  }

  /** @internal */
  fail(caller: Caller, id: number, error: DiptychError): void {
    this.#post(caller, id, errorPart(id, error, this.#messageBytesMax()));
  }

  /** Sends what waits. */
  flush(): void {
    if (this.#turnEnd) clearImmediate(this.#turnEnd);
    this.#turnEnd = undefined;
    for (const caller of this.#waiting) this.#sendFrame(caller);
    this.#waiting.length = 0;
  }

  #post(caller: Caller, id: number, part: Part): void {
    const isLone = this.#working === 0 && this.#turnEnd === undefined;
    if (isLone || part.byteLength >= ALONE_BYTES) {
      // The values of a stream arrive in their order, whatever their sizes.
      this.#sendFrame(caller);
      return this.#send(caller, id, [part]);
    }
    if (caller.bytes + part.byteLength > Math.min(FRAME_BYTES_MAX, this.#messageBytesMax())) this.#sendFrame(caller);
    if (caller.parts.length === 0) {
      caller.first = id;
      this.#waiting.push(caller);
    }
    caller.parts.push(part);
    caller.bytes += part.byteLength;
    if (caller.parts.length >= FRAME_COUNT_MAX) this.#sendFrame(caller);
    this.#turnEnd ??= setImmediate(this.#sendAll);
  }

  #sendFrame(caller: Caller): void {
    if (caller.parts.length === 0) return;
    this.#send(caller, caller.first, caller.parts);
    caller.parts.length = 0;
    caller.bytes = 0;
  }

  /**
   * A reply that cannot be sent, because the connection is lost, is lost with it: the caller learns from CONNECTION_LOST or its deadline.
   * One that the broker does not take is dropped, or the memory of this process would be its queue.
   */
  #send(caller: Caller, id: number, parts: readonly Part[]): void {
    try {
      sealReplies(parts);
      const isFree = this.#connection.publishParts(`${caller.inbox}.${id}`, undefined, parts, REPLY_ROOM_BYTES);
      if (isFree && parts[0]!.byteLength >= ALONE_BYTES) recycle(parts[0]!);
      this.#isDropping = false;
    } catch (error) {
      caller.framesLost++;
      if (this.#connection.status !== 'connected' || this.#isDropping) return;
      this.#isDropping = true;
      this.#onFault(new DiptychError(toDiptychError(error).code, 'replies are lost', { cause: error }));
    }
  }
}

/** Somebody who calls, and what is ready for it. */
export class Caller {
  readonly parts: Part[] = [];
  bytes = 0;
  first = 0;
  /** Frames to it that could not be sent. */
  framesLost = 0;

  constructor(readonly inbox: string) {}
}

class FramedExchange implements Exchange {
  /** As it was at the first of several values. */
  #framesLost: number | undefined;

  constructor(
    readonly replies: Replies,
    readonly caller: Caller,
    readonly id: number,
    readonly what: string,
  ) {}

  get key(): string {
    return `${this.caller.inbox}.${this.id}`;
  }

  answer(value: unknown): void {
    this.#assertWhole();
    this.replies.answer(this.caller, this.id, ReplyKind.ANSWER, this.what, value);
  }

  next(value: unknown): number {
    this.#framesLost ??= this.caller.framesLost;
    this.#assertWhole();
    return this.replies.answer(this.caller, this.id, ReplyKind.VALUE, this.what, value);
  }

  fail(error: DiptychError): void {
    this.replies.fail(this.caller, this.id, error);
  }

  /** @throws CONNECTION_LOST: a stream never goes on past a gap */
  #assertWhole(): void {
    if (this.#framesLost !== undefined && this.#framesLost !== this.caller.framesLost)
      throw new DiptychError('CONNECTION_LOST', `values of ${this.what} were lost on their way`);
  }
}

const CALLERS_MAX = 4_096;
