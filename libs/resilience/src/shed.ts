import { DiptychError } from '@diptych/kernel';
import type { PortDescriptor } from '@diptych/messaging';
import type { ShedOptions } from './guard-options.js';
import type { GuardWatch } from './guard-watch.js';
import type { Call } from './methods.js';
import { methodsOf } from './methods.js';

/**
 * The same port, which refuses a call when it works on `inFlightMax` of that method already: what was taken is then done in time, instead
 * of all of it too late. For the side that serves, inside the binding, so that it holds however the caller comes. The limit is fixed.
 *
 * @throws (each call) OVERLOADED, before anything was done; besides what the port throws
 */
export function shed<Port extends object>(
  descriptor: PortDescriptor<Port>,
  port: Port,
  options: ShedOptions & { readonly metrics?: GuardWatch | undefined },
): Port {
  const shedding: Record<string, unknown> = {};
  for (const { name, kind, call } of methodsOf(descriptor, port)) {
    if (kind === 'topic') {
      shedding[name] = call;
      continue;
    }
    const shedder = new Shedder(`${descriptor.name}.${name}`, options.inFlightMax, call);
    shedding[name] = shedder.call;
    options.metrics?.add({ caller: 'any', port: descriptor.name, method: name, shedder });
  }
  return shedding as Port;
}

class Shedder {
  readonly #what: string;
  readonly #inFlightMax: number;
  readonly #call: Call;
  inFlight = 0;
  refusals = 0;

  constructor(what: string, inFlightMax: number, call: Call) {
    this.#what = what;
    this.#inFlightMax = inFlightMax;
    this.#call = call;
  }

  readonly call: Call = (request, context) => {
    if (this.inFlight >= this.#inFlightMax) {
      this.refusals++;
      const message = `${this.#what} works on ${this.#inFlightMax} calls already; this one was refused so that those are done in time`;
      return Promise.reject(new DiptychError('OVERLOADED', message, { retryAfterMs: RETRY_AFTER_MS }));
    }
    // One that throws is not in flight.
    const replied = this.#call(request, context);
    this.inFlight++;
    // Not `finally`, which makes two more promises.
    return replied.then(
      (reply) => {
        this.inFlight--;
        return reply;
      },
      (error: unknown) => {
        this.inFlight--;
        throw error;
      },
    );
  };
}

const RETRY_AFTER_MS = 100;
