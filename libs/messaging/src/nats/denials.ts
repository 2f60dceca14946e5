import { DiptychError } from '@diptych/kernel';
import type { Connection } from './connection.js';
import type { PendingCall } from './pending-call.js';
import type { Forbidden } from './session.js';

export interface DeniedCalls {
  /** Those that have not settled. */
  pending(): PendingCall[];
  /** Nothing was begun: it may go to somebody else. */
  reroute(call: PendingCall): void;
}

/** What the broker does not let this process do, and which of its calls that ends: at once, where they would else wait until their deadlines. */
export class Denials implements Disposable {
  readonly #connection: Connection;
  readonly #inbox: string;
  readonly #calls: DeniedCalls;
  readonly #forbidden: Disposable;
  /** By subject, until the broker has echoed: how many frames there it has refused. */
  readonly #counts = new Map<string, number>();
  #deaf: string | undefined;

  /** @param inbox where answers are heard */
  constructor(connection: Connection, inbox: string, calls: DeniedCalls) {
    this.#connection = connection;
    this.#inbox = inbox;
    this.#calls = calls;
    this.#forbidden = connection.onForbidden(({ operation, subject }: Forbidden) =>
      operation === 'publish' ? void this.#unsent(subject) : this.#unheard(subject),
    );
  }

  /** @throws PERMISSION_DENIED when no answer can come on this connection */
  assertHearing(): void {
    if (this.#deaf !== undefined) throw new DiptychError('PERMISSION_DENIED', this.#deaf);
  }

  /** Another connection may be allowed more. */
  forgetAll(): void {
    this.#deaf = undefined;
  }

  [Symbol.dispose](): void {
    this.#forbidden[Symbol.dispose]();
  }

  /**
   * The broker says once for each frame that it has not passed it on, and to which subject it went, not which it was. By the time it echoes it has
   * said all: as often as there were frames, and none was passed on. If less often, its settings were changed between them; then nobody is
   * told what may be untrue.
   */
  async #unsent(subject: string): Promise<void> {
    const before = this.#counts.get(subject);
    this.#counts.set(subject, (before ?? 0) + 1);
    if (before !== undefined) return;
    const isThere = ({ isSent, destination, target }: PendingCall) => isSent && destination.subjectOf(target.method) === subject;
    const sent = this.#calls.pending().filter(isThere);
    const frames = new Set(sent.map(({ frame }) => frame));
    await this.#connection.flush();
    const count = this.#counts.get(subject)!;
    this.#counts.delete(subject);
    if (count >= frames.size) for (const call of sent) if (!call.settled && frames.has(call.frame)) this.#deny(call, subject);
  }

  #deny(call: PendingCall, subject: string): void {
    const { destination, target } = call;
    destination.forbidden();
    if (destination !== target.routes.anyone) return this.#calls.reroute(call);
    call.fail(new DiptychError('PERMISSION_DENIED', `NATS does not allow this process to publish to ${subject}`));
  }

  /** What was sent may have happened, and is left to its deadline: no code says both that it is not allowed and that it may have happened. */
  #unheard(subject: string): void {
    if (subject !== `${this.#inbox}.*`) return;
    this.#deaf = `NATS does not allow this process to subscribe to ${subject}, where it would get its answers`;
    for (const call of this.#calls.pending()) if (!call.isSent) call.fail(new DiptychError('PERMISSION_DENIED', this.#deaf));
  }
}
