import type { Message } from '../src/nats/client/message.js';
import { NatsClient } from '../src/nats/client/nats-client.js';

/**
 * Imported for what it does: in this process, what is lent to a listener is overwritten as soon as that has returned, and not only when as much again has
 * been read. So whoever keeps a view of it finds garbage, always, in whatever suite imports this.
 */
const deliver = NatsClient.prototype.onMessage;
NatsClient.prototype.onMessage = function (this: NatsClient, subscription: number, message: Message): void {
  deliver.call(this, subscription, message);
  const { data } = message;
  // What lies in so much more memory lies in the room of all small messages; larger ones own theirs.
  if (data.buffer.byteLength > data.byteLength * 4) data.fill(0xc1);
};
