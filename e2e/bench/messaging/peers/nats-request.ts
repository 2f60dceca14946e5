import { connect, type NodeConnectionOptions } from '@nats-io/transport-node';
import type { Peer } from './peer.js';

/** The client library alone: bare bytes, one reply subscription (its default), no stack kept for errors. */
export const peer: Peer = requestPeer({ noAsyncTraces: true });

export function requestPeer(options: NodeConnectionOptions): Peer {
  return {
    async serve(url, values) {
      const entries = new Map(Object.entries(values).map(([key, value]) => [key, Buffer.from(value)]));
      const nats = await connect({ servers: url, name: 'bench-server' });
      nats.subscribe('bench.get', {
        queue: 'bench',
        callback: (error, message) => {
          if (error) throw error;
          message.respond(entries.get(message.string()));
        },
      });
      await nats.flush();
    },

    async connect(url) {
      const nats = await connect({ servers: url, name: 'bench-caller', ...options });
      return { get: async (key) => (await nats.request('bench.get', key, { timeout: 2_000 })).data };
    },
  };
}
