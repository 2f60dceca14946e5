import { DiptychError } from '@diptych/kernel';
import type { FaultListener } from '../faults.js';
import type { Message } from './client/message.js';
import type { ClientSubscription } from './client/client-subscription.js';
import type { NatsClient } from './client/nats-client.js';
import { messageOf } from './message-of.js';

export interface SubscribeOptions {
  readonly queue?: string;
  /** When the link is about to move to another broker it takes no more. Default false. */
  readonly takesCalls?: boolean;
}

export interface KeptOptions extends SubscribeOptions {
  readonly subject: string;
  readonly onMessage: (message: Message) => void;
  readonly onFault: FaultListener;
  readonly onEnd: (self: KeptSubscription) => void;
}

/** A subscription that outlives the connections it is made on. Disposing ends it; no message is delivered afterwards. */
export class KeptSubscription implements Disposable {
  readonly takesCalls: boolean;
  readonly #options: KeptOptions;
  #live: ClientSubscription | undefined;
  /** On the connection that is next. */
  #joined: ClientSubscription | undefined;
  #ended = false;

  constructor(options: KeptOptions) {
    this.#options = options;
    this.takesCalls = options.takesCalls ?? false;
  }

  /** On this connection from now on, if it is not so yet. Without effect on one that is closed: there will be another. */
  attach(nats: NatsClient): void {
    if (!this.#live?.isOf(nats)) this.#live = this.#subscribe(nats);
  }

  /** Of a queue group, which gives each message to one of its members: joins it on the connection that is next, too. Others would hear all of it twice. */
  join(next: NatsClient): void {
    if (this.#options.queue !== undefined) this.#joined = this.#subscribe(next);
  }

  /** Takes what the broker has already given out, and what comes by the next connection, which then is the one it is on. */
  leaveFor(next: NatsClient): void {
    void this.#live?.drain();
    this.#live = this.#joined?.isOf(next) ? this.#joined : this.#subscribe(next);
    this.#joined = undefined;
  }

  #subscribe(nats: NatsClient): ClientSubscription {
    const { subject, queue, onMessage, onFault } = this.#options;
    return nats.subscribe(subject, queue, (message) => {
      if (this.#ended) return;
      // Anything thrown in here would end the connection.
      try {
        onMessage(message);
      } catch (thrown) {
        onFault(new DiptychError('INTERNAL', `a message on ${subject} was lost: ${messageOf(thrown)}`, { cause: thrown }));
      }
    });
  }

  /** Takes what the broker has already given out, then ends. Never rejects; ends with the connection, which has nothing more to give out then. */
  async drain(): Promise<void> {
    this.#options.onEnd(this);
    await Promise.all([this.#live?.drain(), this.#joined?.drain()]);
    this.#ended = true;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#options.onEnd(this);
    this.#live?.end();
    this.#joined?.end();
  }
}
