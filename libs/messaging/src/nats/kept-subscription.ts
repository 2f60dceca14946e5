import { DiptychError } from '@diptych/kernel';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import type { FaultListener } from '../faults.js';
import { messageOf } from './message-of.js';

/** A subscription that outlives the connections it is made on. Disposing ends it; no message is delivered afterwards. */
export class KeptSubscription implements Disposable {
  #live: Subscription | undefined;
  #nats: NatsConnection | undefined;
  #ended = false;

  constructor(
    readonly subject: string,
    readonly queue: string | undefined,
    readonly onMessage: (message: Msg) => void,
    readonly onFault: FaultListener,
    readonly onEnd: (self: KeptSubscription) => void,
  ) {}

  /** Without effect on a connection that is closed: there will be another. */
  attach(nats: NatsConnection): void {
    this.#nats = nats;
    this.#live = undefined;
    if (nats.isClosed()) return;
    this.#live = nats.subscribe(this.subject, {
      ...(this.queue === undefined ? {} : { queue: this.queue }),
      callback: (error, message) => {
        if (this.#ended) return;
        // Anything thrown in here would end the library's reader, and with it the connection.
        try {
          if (error) throw error;
          this.onMessage(message);
        } catch (thrown) {
          this.onFault(new DiptychError('INTERNAL', `a message on ${this.subject} was lost: ${messageOf(thrown)}`, { cause: thrown }));
        }
      },
    });
  }

  /** Takes what the broker has already given out, then ends. Never rejects; ends with the connection, which has nothing more to give out then. */
  async drain(): Promise<void> {
    this.onEnd(this);
    if (this.#live) await Promise.race([this.#live.drain().catch(() => undefined), this.#nats?.closed()]);
    this.#ended = true;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.onEnd(this);
    if (this.#live && !this.#live.isClosed()) this.#live.unsubscribe();
  }
}
