import { DiptychError } from '@diptych/kernel';

/**
 * What every binding says when a call ends without the implementation's own answer. In one place, so that a caller cannot tell
 * the bindings apart by their errors. `what` is the method, for example `cache.get`.
 */

export function malformedRequest(what: string, why: string, cause?: unknown): DiptychError {
  return new DiptychError('INVALID_REQUEST', `the request to ${what} is malformed: ${why}`, { cause });
}

export function oversizeRequest(what: string, bytesMax: number): DiptychError {
  return new DiptychError('TOO_LARGE', `the request to ${what} is larger than ${bytesMax} bytes`);
}

export function oversizeEvent(what: string, bytesMax: number): DiptychError {
  return new DiptychError('TOO_LARGE', `an event of ${what} is larger than ${bytesMax} bytes`);
}

/** Not TOO_LARGE, which would promise that nothing happened. Whoever implements a port bounds its replies. */
export function oversizeReply(what: string, bytesMax: number): DiptychError {
  return new DiptychError('INTERNAL', `the reply of ${what} is larger than ${bytesMax} bytes`);
}

/** Binary data is a third larger in JSON, so that a reply may fit into a frame and not into this. */
export function oversizeJsonReply(what: string, bytes: number, bytesMax: number): DiptychError {
  return new DiptychError(
    'INTERNAL',
    `the reply of ${what} has ${bytes} bytes as JSON, with its binary data as base64; a message may have ${bytesMax}: ` +
      `about ${Math.floor(bytesMax * 0.745)} bytes of binary data fit; ask over HTTP for more`,
  );
}

/** In the words of `assertAlive`. */
export function deadOnArrival(): DiptychError {
  return new DiptychError('DEADLINE_EXCEEDED', 'the deadline passed before the work began', { definite: true });
}

export function garbledReply(what: string, why: string, cause?: unknown): DiptychError {
  return new DiptychError('INTERNAL', `${what} answered with ${why}`, { cause });
}

export function tooManyInFlight(what: string, inFlightMax: number): DiptychError {
  return new DiptychError('OVERLOADED', `${inFlightMax} calls of ${what} are in flight already; this one was not made`, {
    retryAfterMs: OVERLOAD_RETRY_AFTER_MS,
  });
}

export function tooManyBytesInFlight(what: string, bytes: number): DiptychError {
  return new DiptychError('OVERLOADED', `${bytes} bytes of calls of ${what} are in flight already; this one was not made`, {
    retryAfterMs: OVERLOAD_RETRY_AFTER_MS,
  });
}

/** Of a client that has no connection yet. */
export function tooManyWaiting(what: string, waitingMax: number): DiptychError {
  return new DiptychError('OVERLOADED', `${waitingMax} messages wait for the first connection already; ${what} was not sent`, {
    retryAfterMs: OVERLOAD_RETRY_AFTER_MS,
  });
}

export function tooManyBytesWaiting(what: string, bytes: number): DiptychError {
  return new DiptychError('OVERLOADED', `${bytes} bytes of messages wait for the first connection already; ${what} was not sent`, {
    retryAfterMs: OVERLOAD_RETRY_AFTER_MS,
  });
}

export function notServed(what: string, cause?: unknown): DiptychError {
  return new DiptychError('UNAVAILABLE', `nobody serves ${what} at the moment`, { cause });
}

export function notAnswered(what: string): DiptychError {
  return new DiptychError('DEADLINE_EXCEEDED', `${what} did not answer before its deadline`);
}

export function cancelledInFlight(what: string, cause: unknown): DiptychError {
  return new DiptychError('CANCELLED', `${what} was cancelled; it may still happen`, { cause });
}

/** Long enough for a full queue to move on, short enough not to leave it empty. */
const OVERLOAD_RETRY_AFTER_MS = 100;
