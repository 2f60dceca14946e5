import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { DiptychError } from '@diptych/kernel';
import { warnOfFault } from '../faults.js';
import { DEFAULT_BOUNDS } from '../port.js';
import type { BrokerAddress, TlsOptions } from './client/broker.js';
import { Connection } from './connection.js';
import { parseServerAddress } from './dial.js';
import { Link } from './link.js';
import { messageOf } from './message-of.js';
import type { NatsLink, NatsOptions } from './nats-link.js';

/**
 * Connects to NATS.
 *
 * @param signal aborted: the connection is closed, also while it is being made
 * @throws UNAVAILABLE with one sentence when there is no connection within `connectTimeoutMs`; INVALID_REQUEST for an address that is none, or
 * certificates that are none
 */
export async function connectNats(options: NatsOptions, signal?: AbortSignal): Promise<NatsLink> {
  const { pingIntervalMs = 500, pingsOutMax = 3, connectTimeoutMs = 5_000, onFault = warnOfFault, name, tls } = options;
  const servers = parseServers(options.servers).map((server) => (tls ? { ...server, needsTls: true } : server));
  if (tls) assertUsable(tls);
  const bounds = { ...DEFAULT_BOUNDS, ...options.bounds };
  const connection = await Connection.open({
    servers,
    name,
    tls,
    connectTimeoutMs,
    pingIntervalMs,
    pingsOutMax,
    backlogBytesMax: bounds.inFlightBytesMax,
    signal,
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

/** At once, where each attempt would fail of it until the time is up, and where Node would believe everybody for an authority that is empty. */
function assertUsable(tls: TlsOptions): void {
  if ((tls.cert === undefined) !== (tls.key === undefined))
    throw new DiptychError('INVALID_REQUEST', 'a certificate for TLS and its key belong together: give both or neither');
  try {
    if (tls.ca !== undefined) new X509Certificate(tls.ca);
    createSecureContext(tls);
  } catch (error) {
    throw new DiptychError('INVALID_REQUEST', `the certificates for TLS cannot be used: ${messageOf(error)}`, { cause: error });
  }
}
