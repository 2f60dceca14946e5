import { toDiptychError } from '@diptych/kernel';
import { malformedRequest, oversizeEvent, oversizeReply, oversizeRequest } from '../binding-errors.js';
import { checkOf } from '../codec.js';
import type { FaultListener } from '../faults.js';
import { warnOfFault } from '../faults.js';
import type { Bounds, PortDescriptor } from '../port.js';
import { DEFAULT_BOUNDS } from '../port.js';
import { bindLocally } from './local.js';
import { isLargerThan } from '../size.js';

/**
 * A call. Values pass by reference, and both sides leave them unchanged, as their read-only types say.
 *
 * All else is as over any binding: a call that does not settle is rejected at its deadline or abort (though not sooner than 10 ms
 * after it began), the calls in flight and the size of what passes are bounded, a request that does not fit its schema is
 * refused, and only errors of the table come out. Sizes are counted without the few bytes of framing.
 *
 * @throws (each call) INVALID_REQUEST, TOO_LARGE, OVERLOADED, DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE (the implementation
 *   lacks the method), INTERNAL, and what the implementation throws
 */
export function inProcess<Port>(
  descriptor: PortDescriptor<Port>,
  implementation: Port,
  bounds: Partial<Bounds> = {},
  onFault: FaultListener = warnOfFault,
): Port {
  const allBounds = { ...DEFAULT_BOUNDS, ...bounds };
  const bytesMax = allBounds.messageBytesMax;
  return bindLocally(descriptor, implementation, {
    bounds: allBounds,
    onFault,
    passage(what, method) {
      const check = checkOf(method.request);
      return {
        request: (value) => {
          if (!check(value)) throw malformedRequest(what, check.explain(value));
          if (isLargerThan(value, bytesMax)) throw oversizeRequest(what, bytesMax);
          return value;
        },
        reply: (value) => {
          if (isLargerThan(value, bytesMax)) throw oversizeReply(what, bytesMax);
          return value;
        },
        error: toDiptychError,
      };
    },
    event: (what) => (event) => {
      if (isLargerThan(event, bytesMax)) throw oversizeEvent(what, bytesMax);
      return event;
    },
  });
}
