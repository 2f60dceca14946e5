import type { Message } from './message.js';
import type { NatsClient } from './nats-client.js';

/** A subscription as long as its connection lasts, or until it is ended. */
export class ClientSubscription {
  readonly #client: NatsClient;
  readonly #id: number;
  readonly onMessage: (message: Message) => void;

  constructor(client: NatsClient, id: number, onMessage: (message: Message) => void) {
    this.#client = client;
    this.#id = id;
    this.onMessage = onMessage;
  }

  isOf(client: NatsClient): boolean {
    return this.#client === client;
  }

  /** Nothing is heard from now on. Safe to repeat. */
  end(): void {
    this.#client.unsubscribe(this.#id);
    this.#client.forget(this.#id);
  }

  /** Takes what the broker has already given out, then ends; or ends with the connection. Never rejects. */
  async drain(): Promise<void> {
    this.#client.unsubscribe(this.#id);
    await this.#client.flush();
    this.#client.forget(this.#id);
  }
}
