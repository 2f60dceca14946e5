import type { PortIdentity } from '../../port.js';
import { subjectOf } from '../../port.js';

/** Where one port is served: one instance, or whoever the broker picks of the queue group. */
export interface Destination {
  /** `diptych.cache.v1.get` of whoever the broker picks, `diptych.cache.v1.get.<instance>` of one instance. Cheap: asked for every call. */
  subjectOf(method: string): string;
  /** The instance's own, or everybody's. */
  readonly cancelSubject: string;
  /** Calls sent and not settled. The requester keeps it. */
  outstanding: number;
  /** Evidence of life: a reply frame came from it. */
  answered(): void;
  /** The broker says that nobody is there: it is gone. Definite, nothing was started. */
  refused(): void;
  /** The broker does not let this process publish there. */
  forbidden(): void;
}

/** The destinations of one port as this process knows them. */
export interface Routes {
  /** Never fails: with nobody known it is the queue group. */
  choose(routingKey: string | undefined): Destination;
  /** The queue group, whoever is known: the last resort of a call that nobody took. */
  readonly anyone: Destination;
  close(): void;
}

/** The method names that no port may use, since these subjects are the transport's own. */
export const CANCEL_METHOD = '_cancel';

/** Routes of a port whose instances nobody tells apart: the broker picks. */
export function anyoneOf(port: PortIdentity): Routes {
  const anyone = queueGroupOf(port);
  return { choose: () => anyone, anyone, close: () => undefined };
}

/** The queue group as a destination. */
export function queueGroupOf(port: PortIdentity): Destination {
  const subjects = new Map<string, string>();
  return {
    subjectOf(method) {
      let subject = subjects.get(method);
      if (subject === undefined) subjects.set(method, (subject = subjectOf(port, method)));
      return subject;
    },
    cancelSubject: subjectOf(port, CANCEL_METHOD),
    outstanding: 0,
    answered: () => undefined,
    refused: () => undefined,
    forbidden: () => undefined,
  };
}
