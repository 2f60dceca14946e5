import { DiptychError } from '@diptych/kernel';
import { warnOfFault } from '../faults.js';
import { DEFAULT_BOUNDS } from '../port.js';
import type { BrokerAddress } from './client/broker.js';
import { Connection } from './connection.js';
import { parseServerAddress } from './dial.js';
import { Link } from './link.js';
import type { NatsLink, NatsOptions } from './nats-link.js';

/**
 * Connects to NATS.
 *
 * @throws UNAVAILABLE with one sentence when there is no connection within `connectTimeoutMs`; INVALID_REQUEST for an address that is none
 */
export async function connectNats(options: NatsOptions): Promise<NatsLink> {
  const { pingIntervalMs = 500, pingsOutMax = 3, connectTimeoutMs = 5_000, onFault = warnOfFault, name, tls } = options;
  const servers = parseServers(options.servers).map((server) => (tls ? { ...server, needsTls: true } : server));
  const bounds = { ...DEFAULT_BOUNDS, ...options.bounds };
  const connection = await Connection.open({
    servers,
    name,
    tls,
    connectTimeoutMs,
    pingIntervalMs,
    pingsOutMax,
    backlogBytesMax: bounds.inFlightBytesMax,
    onFault,
  });
  return new Link(connection, bounds, onFault);
}

function parseServers(servers: string | readonly string[]): BrokerAddress[] {
  const texts = typeof servers === 'string' ? [servers] : servers;
  if (texts.length === 0) throw new DiptychError('INVALID_REQUEST', 'no address of a NATS server is given');
  return texts.map((text, i) => {
    try {
      return parseServerAddress(text);
    } catch (error) {
      // The text itself may hold a password.
      throw new DiptychError('INVALID_REQUEST', `address ${i + 1} of ${texts.length} of NATS is not of the form nats://host:port`, {
        cause: error,
      });
    }
  });
}
