import type { CallContext } from '@diptych/kernel';
import { DiptychError } from '@diptych/kernel';
import { garbledReply } from '../binding-errors.js';
import { callWatch, WatchedCall } from '../call-watch.js';
import type { Check } from '../codec.js';
import { decode, errorFromRecord } from '../codec.js';
import { acceptReply } from '../messages.js';
import type { Destination, Routes } from './routing/routes.js';
import type { Lane } from './lane.js';
import type { ReplyReader } from './frame-readers.js';
import { ReplyKind } from './wire.js';

/** Where a method is reached, and what its replies look like. */
export interface Target {
  /** For errors: `cache.get`. */
  readonly what: string;
  readonly method: string;
  readonly routes: Routes;
  /** Of the request, when the method declares one and the port is owned by key. */
  readonly routingKeyOf: ((request: unknown) => string) | undefined;
  readonly replyFits: Check;
  /** Of this method, in all clients of the process: a method that is stuck must not make the others OVERLOADED. */
  readonly inFlight: InFlight;
  /** By destination, as long as there is one. */
  readonly lanes: WeakMap<Destination, Lane>;
}

export interface InFlight {
  calls: number;
  bytes: number;
}

/** What a call needs of the requester. */
export interface PendingCalls {
  /** Lets go of it. */
  forget(call: PendingCall): void;
  /** Tells whoever works on it to stop, as far as that is possible. */
  withdraw(call: PendingCall): void;
}

/** A call of this process that has not settled. */
export class PendingCall extends WatchedCall {
  id = UNSENT;
  /** The id of the first call in the frame it was sent in. */
  frame = UNSENT;
  settled = false;
  attempts = 0;

  constructor(
    readonly target: Target,
    public destination: Destination,
    readonly request: unknown,
    context: CallContext,
    readonly bytes: number,
    readonly calls: PendingCalls,
    readonly resolve: (reply: unknown) => void,
    readonly reject: (error: DiptychError) => void,
    readonly onValue: ((value: unknown) => void) | undefined,
  ) {
    super(target.what, context);
  }

  get isSent(): boolean {
    return this.frame !== UNSENT;
  }

  /** Takes the reply at which the reader is. Never throws. */
  take(reader: ReplyReader): void {
    const { kind, bytes, bodyStart, bodyEnd } = reader;
    if (kind === ReplyKind.VALUE) return this.#takeValue(reader);
    this.#settle();
    try {
      if (kind === ReplyKind.ANSWER) this.resolve(acceptReply(this.what, bytes, this.target.replyFits, bodyStart, bodyEnd));
      else if (kind === ReplyKind.ERROR) this.reject(errorFromRecord(decode(bytes, bodyStart, bodyEnd), this.what));
      else this.reject(garbledReply(this.what, `a reply of the unknown kind ${kind}`));
    } catch (error) {
      this.reject(asGarbled(this.what, error));
    }
  }

  #takeValue({ bytes, bodyStart, bodyEnd }: ReplyReader): void {
    if (!this.onValue) return;
    try {
      this.onValue(acceptReply(this.what, bytes, this.target.replyFits, bodyStart, bodyEnd));
    } catch (error) {
      this.fail(asGarbled(this.what, error));
      this.calls.withdraw(this);
    }
  }

  fail(error: DiptychError): void {
    this.#settle();
    this.reject(error);
  }

  override end(error: DiptychError): void {
    this.settled = true;
    this.calls.forget(this);
    // What has not left this process can no longer happen.
    this.reject(this.isSent ? error : new DiptychError(error.code, error.message, { cause: error.cause, definite: true }));
    if (error.code === 'CANCELLED' && this.isSent) this.calls.withdraw(this);
  }

  #settle(): void {
    this.settled = true;
    callWatch.release(this);
    this.calls.forget(this);
  }
}

function asGarbled(what: string, error: unknown): DiptychError {
  return error instanceof DiptychError ? error : garbledReply(what, 'what cannot be decoded', error);
}

/** The frame of a call that nobody has got. */
export const UNSENT = -1;
