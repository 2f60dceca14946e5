import { DiptychError } from '@diptych/kernel';
import type { FaultListener } from '../faults.js';
import type { Message } from './client/message.js';
import type { ClientSubscription, NatsClient } from './client/nats-client.js';
import { messageOf } from './message-of.js';

export interface KeptOptions {
  readonly subject: string;
  readonly queue?: string;
  readonly takesCalls?: boolean;
  readonly onMessage: (message: Message) => void;
  readonly onFault: FaultListener;
  readonly onEnd: (self: KeptSubscription) => void;
}

/** A subscription that outlives the connections it is made on. Disposing ends it; no message is delivered afterwards. */
export class KeptSubscription implements Disposable {
  readonly takesCalls: boolean;
  readonly #options: KeptOptions;
  #live: ClientSubscription | undefined;
  #ended = false;

  constructor(options: KeptOptions) {
    this.#options = options;
    this.takesCalls = options.takesCalls ?? false;
  }

  /** Without effect on a connection that is closed: there will be another. */
  attach(nats: NatsClient): void {
    const { subject, queue, onMessage, onFault } = this.#options;
    this.#live = nats.subscribe(subject, queue, (message) => {
      if (this.#ended) return;
      // Anything thrown in here would end the connection.
      try {
        onMessage(message);
      } catch (thrown) {
        onFault(new DiptychError('INTERNAL', `a message on ${subject} was lost: ${messageOf(thrown)}`, { cause: thrown }));
      }
    });
  }

  /** Takes what the broker has already given out, and no more from this connection. */
  detach(): void {
    void this.#live?.drain();
  }

  /** Takes what the broker has already given out, then ends. Never rejects; ends with the connection, which has nothing more to give out then. */
  async drain(): Promise<void> {
    this.#options.onEnd(this);
    await this.#live?.drain();
    this.#ended = true;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#options.onEnd(this);
    this.#live?.end();
  }
}
