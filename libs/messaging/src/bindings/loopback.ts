import { checkOf, decode, encode, errorFromRecord, errorToRecord } from '../codec.js';
import type { FaultListener } from '../faults.js';
import { warnOfFault } from '../faults.js';
import { acceptReply, acceptRequest, encodeEvent, encodeReply, encodeRequest } from '../messages.js';
import type { Bounds, PortDescriptor } from '../port.js';
import { DEFAULT_BOUNDS } from '../port.js';
import { bindLocally } from './local.js';

/**
 * A call in this process whose request, reply, error and events are encoded, decoded and checked as if they crossed the network.
 * It shows aliasing and lost error identity without a broker, and lets a comparison tell the cost of the codec from the cost of
 * the hop. Errors arrive without their cause.
 *
 * @throws (each call) what the in-process binding throws
 */
export function loopback<Port>(
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
      const requestFits = checkOf(method.request);
      const replyFits = checkOf(method.reply);
      return {
        request: (value) => acceptRequest(what, encodeRequest(what, value, bytesMax).bytes, requestFits),
        reply: (value) => acceptReply(what, encodeReply(what, value, bytesMax).bytes, replyFits),
        error: (error) => errorFromRecord(decode(encode(errorToRecord(error)).bytes), what),
      };
    },
    event(what, topic) {
      const eventFits = checkOf(topic.event);
      return (event) => acceptReply(what, encodeEvent(what, event, bytesMax), eventFits);
    },
  });
}
