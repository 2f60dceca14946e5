import type { CallContext } from '@diptych/kernel';
import { DiptychError, toDiptychError } from '@diptych/kernel';
import { notServed, tooManyInFlight } from '../binding-errors.js';
import { assertCallable, callWatch, WatchedCall } from '../call-watch.js';
import type { FaultListener } from '../faults.js';
import type { Bounds, PortDescriptor, Subscription, TopicDescriptor, UnaryDescriptor } from '../port.js';

/** What becomes of values on their way between caller and implementation: the only difference between the local bindings. */
export interface Passage {
  /** @throws INVALID_REQUEST or TOO_LARGE */
  readonly request: (value: unknown) => unknown;
  /** @throws INTERNAL */
  readonly reply: (value: unknown) => unknown;
  readonly error: (error: unknown) => DiptychError;
}

export interface LocalBinding {
  readonly bounds: Bounds;
  readonly onFault: FaultListener;
  passage(what: string, method: UnaryDescriptor<never>): Passage;
  /** How an event passes. @throws TOO_LARGE, INVALID_REQUEST: it is dropped and reported */
  event(what: string, topic: TopicDescriptor): (event: unknown) => unknown;
}

/** A port whose calls go to `implementation` in this process, bounded and watched as over any other binding. */
export function bindLocally<Port>(descriptor: PortDescriptor<Port>, implementation: Port, binding: LocalBinding): Port {
  const bound: Record<string, unknown> = {};
  for (const name of Object.keys(descriptor.methods)) {
    const what = `${descriptor.name}.${name}`;
    const method = descriptor.methods[name as keyof Port] as UnaryDescriptor<never> | TopicDescriptor;
    const target = implementation as Record<string, unknown>;
    bound[name] =
      method.kind === 'unary'
        ? unary(what, target, name, binding.passage(what, method), new InFlight(binding.bounds.inFlightMax))
        : topic(what, target, name, binding.event(what, method), binding.onFault);
  }
  return bound as Port;
}

type Unary = (request: unknown, context: CallContext) => Promise<unknown>;
type Topic = (listener: (event: unknown) => void) => Promise<Subscription>;

/**
 * Work of one method that the implementation has begun and not finished. A call whose deadline passed counts until its work ends, since only
 * then is its memory free: an implementation that never ends makes its callers OVERLOADED, not the process run out of memory.
 */
class InFlight {
  count = 0;
  constructor(readonly max: number) {}
}

function unary(what: string, target: Record<string, unknown>, name: string, passage: Passage, inFlight: InFlight): Unary {
  return (request, context) => {
    let work: Promise<unknown>;
    try {
      assertCallable(what, context);
      if (inFlight.count >= inFlight.max) throw tooManyInFlight(what, inFlight.max);
      const given = passage.request(request);
      if (typeof target[name] !== 'function') throw notServed(what);
      try {
        // Promise.resolve gives a promise back as it is, and makes one of what a careless implementation returns.
        work = Promise.resolve((target[name] as Unary)(given, context));
      } catch (error) {
        throw passage.error(error);
      }
    } catch (error) {
      return Promise.reject(toDiptychError(error));
    }
    inFlight.count++;
    return new Promise((resolve, reject) => {
      const call = new LocalCall(what, context, reject);
      callWatch.add(call);
      work.then(
        (value) => {
          inFlight.count--;
          callWatch.release(call);
          try {
            resolve(passage.reply(value));
          } catch (error) {
            reject(toDiptychError(error));
          }
        },
        (error: unknown) => {
          inFlight.count--;
          callWatch.release(call);
          reject(passage.error(error));
        },
      );
    });
  };
}

class LocalCall extends WatchedCall {
  constructor(
    what: string,
    context: CallContext,
    readonly reject: (error: DiptychError) => void,
  ) {
    super(what, context);
  }

  override end(error: DiptychError): void {
    this.reject(error);
  }
}

function topic(
  what: string,
  target: Record<string, unknown>,
  name: string,
  pass: (event: unknown) => unknown,
  onFault: FaultListener,
): Topic {
  return async (listener) => {
    if (typeof target[name] !== 'function') throw notServed(what);
    let open = true;
    let subscription: Subscription;
    try {
      subscription = await (target[name] as Topic)((event) => {
        if (!open) return;
        // The step that causes an event must not fail because somebody listens badly.
        try {
          listener(pass(event));
        } catch (error) {
          onFault(listenerFault(what, error));
        }
      });
    } catch (error) {
      throw toDiptychError(error);
    }
    return {
      delivery: subscription.delivery,
      [Symbol.dispose]: () => {
        open = false;
        subscription[Symbol.dispose]();
      },
    };
  };
}

/** What is reported of an event that could not be delivered to one listener. */
export function listenerFault(what: string, error: unknown): DiptychError {
  return new DiptychError('INTERNAL', `an event of ${what} was not delivered: ${error instanceof Error ? error.message : String(error)}`, {
    cause: error,
  });
}
