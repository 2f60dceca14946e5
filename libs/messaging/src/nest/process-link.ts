import { connectNats } from '../nats/connect-nats.js';
import type { NatsLink, NatsOptions } from '../nats/nats-link.js';

/** How the Nest server and client reach NATS. With the same options, all of one process share one connection. */
export interface DiptychTransportOptions extends Partial<NatsOptions> {
  /** A link that somebody else owns, and closes. The other options for connecting are not looked at then. */
  readonly link?: NatsLink;
}

/** A share in a link. The last one that is given back closes it. */
export interface LinkShare {
  /** @throws what `connectNats` throws; UNAVAILABLE also when all shares were given back before it was connected */
  readonly link: Promise<NatsLink>;
  /** What is being connected for nobody any more is given up. Never rejects. Safe to repeat. */
  release(): Promise<void>;
}

interface SharedLink {
  readonly connecting: Promise<NatsLink>;
  readonly givenUp: AbortController;
  isConnected: boolean;
  shares: number;
}

/** By what it connects to. As many as there are different options in the process. */
const links = new Map<string, SharedLink>();

export function shareLink(options: DiptychTransportOptions): LinkShare {
  if (options.link) return { link: Promise.resolve(options.link), release: async () => undefined };
  const { servers = DEFAULT_SERVER, name = `nest-${process.pid}`, bounds, tls, pingIntervalMs, pingsOutMax, onFault } = options;
  const key = JSON.stringify([servers, name, bounds, tls, pingIntervalMs, pingsOutMax]);
  // Who wants to hear of faults does not want to hear of those of others.
  const shared = (onFault ? undefined : links.get(key)) ?? begin({ ...options, servers, name }, key);
  shared.shares++;
  let released = false;
  return {
    link: shared.connecting,
    release: async () => {
      if (released) return;
      released = true;
      if (--shared.shares > 0) return;
      if (links.get(key) === shared) links.delete(key);
      // Later there is more to end than the connection.
      if (!shared.isConnected) shared.givenUp.abort();
      await shared.connecting.then(
        (link) => link.close(0),
        () => undefined,
      );
    },
  };
}

function begin(options: NatsOptions, key: string): SharedLink {
  const { servers, name, connectTimeoutMs = 30_000, bounds, tls, pingIntervalMs, pingsOutMax, onFault } = options;
  const given = Object.entries({ bounds, tls, pingIntervalMs, pingsOutMax, onFault }).filter(([, value]) => value !== undefined);
  const givenUp = new AbortController();
  const connecting = connectNats({ servers, name, connectTimeoutMs, ...Object.fromEntries(given) }, givenUp.signal);
  const shared: SharedLink = { connecting, givenUp, isConnected: false, shares: 0 };
  connecting.then(
    () => (shared.isConnected = true),
    () => {
      // Whoever asks next tries again.
      if (links.get(key) === shared) links.delete(key);
    },
  );
  if (!onFault) links.set(key, shared);
  return shared;
}

const DEFAULT_SERVER = 'nats://127.0.0.1:4222';
