import type { BrokerOptions } from 'moleculer';
import { ServiceBroker } from 'moleculer';
import type { Peer } from './peer.js';

/**
 * Moleculer with its own balancer and its deadline; without log, metrics and tracing. Its JSON, not CBOR, which its makers measured as the fastest:
 * for these values CBOR took more processor time a call when it was tried.
 */
function options(url: string, name: string): BrokerOptions {
  return {
    nodeID: `${name}-${process.pid}`,
    logger: false,
    transporter: { type: 'NATS', options: { url, name } },
    requestTimeout: 2_000,
  };
}

export const peer: Peer = {
  async serve(url, values) {
    const entries = new Map(Object.entries(values));
    const broker = new ServiceBroker(options(url, 'bench-server'));
    broker.createService({
      name: 'bench',
      actions: { get: (context: { params: { key: string } }) => entries.get(context.params.key) },
    });
    await broker.start();
  },

  async connect(url) {
    const broker = new ServiceBroker(options(url, 'bench-caller'));
    await broker.start();
    await broker.waitForServices('bench', 10_000, 20);
    return { get: (key) => broker.call<string, { key: string }>('bench.get', { key }) };
  },
};
