import { DiptychError } from '@diptych/kernel';
import type { FaultListener } from '../faults.js';
import type { Message } from './client/message.js';
import type { ClientSubscription, NatsClient } from './client/nats-client.js';
import { messageOf } from './message-of.js';

/** A subscription that outlives the connections it is made on. Disposing ends it; no message is delivered afterwards. */
export class KeptSubscription implements Disposable {
  #live: ClientSubscription | undefined;
  #ended = false;

  constructor(
    readonly subject: string,
    readonly queue: string | undefined,
    readonly onMessage: (message: Message) => void,
    readonly onFault: FaultListener,
    readonly onEnd: (self: KeptSubscription) => void,
  ) {}

  /** Without effect on a connection that is closed: there will be another. */
  attach(nats: NatsClient): void {
    this.#live = nats.subscribe(this.subject, this.queue, (message) => {
      if (this.#ended) return;
      // Anything thrown in here would end the connection.
      try {
        this.onMessage(message);
      } catch (thrown) {
        this.onFault(new DiptychError('INTERNAL', `a message on ${this.subject} was lost: ${messageOf(thrown)}`, { cause: thrown }));
      }
    });
  }

  /** Takes what the broker has already given out, then ends. Never rejects; ends with the connection, which has nothing more to give out then. */
  async drain(): Promise<void> {
    this.onEnd(this);
    await this.#live?.drain();
    this.#ended = true;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.onEnd(this);
    this.#live?.end();
  }
}
