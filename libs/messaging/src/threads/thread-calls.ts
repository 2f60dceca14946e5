import type { CallContext } from '@diptych/kernel';
import { DiptychError, toDiptychError } from '@diptych/kernel';
import { malformedRequest, oversizeRequest, tooManyBytesInFlight, tooManyInFlight } from '../binding-errors.js';
import { assertCallable, callWatch, WatchedCall } from '../call-watch.js';
import type { Check } from '../codec.js';
import { checkOf, errorFromRecord } from '../codec.js';
import { garbledReply } from '../binding-errors.js';
import type { Bounds, PortDescriptor, Subscription, TopicDescriptor, UnaryDescriptor } from '../port.js';
import { subjectOf } from '../port.js';
import { atLeastBytes } from '../size.js';
import type { FaultListener } from '../faults.js';
import { listenerFault } from '../bindings/local.js';
import type { Outbox } from './thread-frame.js';
import { Item } from './thread-frame.js';

/** A method of the other thread, as this one calls it. */
interface Target {
  /** For errors: `log.read`. */
  readonly what: string;
  readonly path: string;
  readonly replyFits: Check;
  calls: number;
  bytes: number;
}

interface CallerOptions {
  readonly outbox: Outbox;
  readonly bounds: Bounds;
  readonly onFault: FaultListener;
  /** What a deadline of this thread is on the clock of the process. */
  readonly shiftMs: number;
  /** Whether anything else is under way, so that more may come in the same turn. */
  readonly isBusy: () => boolean;
}

/** The calls of this thread to the other that have not settled, and the events it listens to. */
export class ThreadCalls {
  readonly #options: CallerOptions;
  readonly #pending = new Map<number, PendingCall>();
  readonly #listeners = new Map<number, (event: unknown) => void>();
  readonly #targets = new Map<string, Target>();
  #lastId = 0;
  /** Why no call can be made any more. */
  #closed: string | undefined;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#pending.size;
  }

  client<Port>(descriptor: PortDescriptor<Port>): Port {
    const bound: Record<string, unknown> = {};
    for (const name of Object.keys(descriptor.methods)) {
      const method = descriptor.methods[name as keyof Port] as UnaryDescriptor<never> | TopicDescriptor;
      const what = `${descriptor.name}.${name}`;
      const path = subjectOf(descriptor, name);
      if (method.kind === 'topic') bound[name] = (listener: (event: unknown) => void) => this.#subscribe(what, path, method, listener);
      else {
        const target = this.#targetOf(what, path, method);
        bound[name] = (request: unknown, context: CallContext) => this.#call(target, request, context);
      }
    }
    return bound as Port;
  }

  /** No call can be made from here on. */
  close(why: string): void {
    this.#closed ??= why;
  }

  /** Nobody answers any more. */
  loseAll(why: string): void {
    this.close(why);
    for (const call of [...this.#pending.values()])
      call.fail(new DiptychError('CONNECTION_LOST', `${why} while ${call.what} was in flight; it may have happened`));
    this.#listeners.clear();
  }

  answer(id: number, reply: unknown): void {
    const call = this.#pending.get(id);
    if (!call) return;
    const { replyFits } = call.target;
    if (replyFits(reply)) call.succeed(reply);
    else call.fail(garbledReply(call.what, `what does not fit its schema: ${replyFits.explain(reply)}`));
  }

  fail(id: number, record: unknown): void {
    const call = this.#pending.get(id);
    call?.fail(errorFromRecord(record, call.what));
  }

  /** A call that could not leave. */
  unsendable(id: number, error: unknown): void {
    const call = this.#pending.get(id);
    call?.fail(malformedRequest(call.what, 'it cannot be encoded', error));
  }

  event(id: number, event: unknown): void {
    this.#listeners.get(id)?.(event);
    this.#options.outbox.post(false, 1, Item.TAKEN, id);
  }

  /** @internal */
  forget(call: PendingCall): void {
    if (!this.#pending.delete(call.id)) return;
    call.target.calls--;
    call.target.bytes -= call.bytes;
  }

  /** @internal */
  withdraw(call: PendingCall): void {
    if (this.#closed === undefined) this.#options.outbox.post(true, call.id, Item.CANCEL);
  }

  #targetOf(what: string, path: string, method: UnaryDescriptor<never> | { readonly reply: undefined }): Target {
    let target = this.#targets.get(path);
    if (!target) {
      const replyFits: Check = method.reply ? checkOf(method.reply) : Object.assign(() => true, { explain: () => '' });
      this.#targets.set(path, (target = { what, path, replyFits, calls: 0, bytes: 0 }));
    }
    return target;
  }

  #call(target: Target, request: unknown, context: CallContext): Promise<unknown> {
    const { bounds, outbox, shiftMs, isBusy } = this.#options;
    const { what } = target;
    try {
      assertCallable(what, context);
      this.#assertOpen();
      if (target.calls >= bounds.inFlightMax) throw tooManyInFlight(what, bounds.inFlightMax);
      const bytes = atLeastBytes(request, bounds.messageBytesMax + 1);
      if (bytes > bounds.messageBytesMax) throw oversizeRequest(what, bounds.messageBytesMax);
      if (target.bytes + bytes > bounds.inFlightBytesMax) throw tooManyBytesInFlight(what, target.bytes);
      const isUrgent = !isBusy();
      return new Promise((resolve, reject) => {
        const call = this.#begin(new PendingCall(target, ++this.#lastId, context, bytes, this, resolve, reject));
        callWatch.add(call);
        outbox.post(isUrgent, request, Item.CALL, call.id, target.path, context.deadlineMs + shiftMs, context.traceparent);
      });
    } catch (error) {
      return Promise.reject(toDiptychError(error));
    }
  }

  #begin(call: PendingCall): PendingCall {
    this.#pending.set(call.id, call);
    call.target.calls++;
    call.target.bytes += call.bytes;
    return call;
  }

  async #subscribe(what: string, path: string, topic: TopicDescriptor, listener: (event: unknown) => void): Promise<Subscription> {
    this.#assertOpen();
    const { outbox, onFault } = this.#options;
    const fits = checkOf(topic.event);
    const id = ++this.#lastId;
    this.#listeners.set(id, (event) => {
      try {
        if (!fits(event)) throw garbledReply(what, `what does not fit its schema: ${fits.explain(event)}`);
        listener(event);
      } catch (error) {
        onFault(listenerFault(what, error));
      }
    });
    const target = this.#targetOf(what, path, { reply: undefined });
    try {
      await new Promise((resolve, reject) => {
        // It waits for as long as the other thread lives: to subscribe is no work.
        this.#begin(new PendingCall(target, id, { deadlineMs: Number.MAX_SAFE_INTEGER }, 0, this, resolve, reject));
        outbox.post(true, path, Item.SUBSCRIBE, id);
      });
    } catch (error) {
      this.#listeners.delete(id);
      throw error;
    }
    return {
      delivery: 'best-effort',
      [Symbol.dispose]: () => {
        if (this.#listeners.delete(id) && this.#closed === undefined) outbox.post(true, id, Item.UNSUBSCRIBE);
      },
    };
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new DiptychError('UNAVAILABLE', this.#closed);
  }
}

class PendingCall extends WatchedCall {
  constructor(
    readonly target: Target,
    readonly id: number,
    context: CallContext,
    readonly bytes: number,
    readonly calls: ThreadCalls,
    readonly resolve: (reply: unknown) => void,
    readonly reject: (error: DiptychError) => void,
  ) {
    super(target.what, context);
  }

  succeed(reply: unknown): void {
    this.#settle();
    this.resolve(reply);
  }

  fail(error: DiptychError): void {
    this.#settle();
    this.reject(error);
  }

  override end(error: DiptychError): void {
    this.calls.forget(this);
    this.reject(error);
    if (error.code === 'CANCELLED') this.calls.withdraw(this);
  }

  #settle(): void {
    callWatch.release(this);
    this.calls.forget(this);
  }
}
