import { connectNats } from '../nats/connect-nats.js';
import type { NatsLink, NatsOptions } from '../nats/nats-link.js';

/** How the Nest server and client reach NATS. With the same options, all of one process share one connection. */
export interface DiptychTransportOptions extends Partial<NatsOptions> {
  /** A link that somebody else owns, and closes. The other options for connecting are not looked at then. */
  readonly link?: NatsLink;
}

/** A share in a link. The last one that is given back closes it. */
export interface LinkShare {
  readonly link: NatsLink;
  /** Safe to repeat. */
  release(): Promise<void>;
}

interface SharedLink {
  readonly connecting: Promise<NatsLink>;
  shares: number;
}

/** By what it connects to. As many as there are different options in the process. */
const links = new Map<string, SharedLink>();

/** @throws what `connectNats` throws; nothing is kept then */
export async function shareLink(options: DiptychTransportOptions): Promise<LinkShare> {
  if (options.link) return { link: options.link, release: async () => undefined };
  const { servers = DEFAULT_SERVER, name = `nest-${process.pid}`, connectTimeoutMs = 30_000 } = options;
  const { bounds, tls, pingIntervalMs, pingsOutMax, onFault } = options;
  const key = JSON.stringify([servers, name, bounds, tls, pingIntervalMs, pingsOutMax]);
  // Who wants to hear of faults does not want to hear of those of others.
  let shared = onFault ? undefined : links.get(key);
  if (!shared) {
    const given = Object.entries({ bounds, tls, pingIntervalMs, pingsOutMax, onFault }).filter(([, value]) => value !== undefined);
    shared = { connecting: connectNats({ servers, name, connectTimeoutMs, ...Object.fromEntries(given) }), shares: 0 };
    if (!onFault) links.set(key, shared);
  }
  const taken = shared;
  taken.shares++;
  let released = false;
  const giveBack = () => {
    if (released) return false;
    released = true;
    if (--taken.shares > 0) return false;
    if (links.get(key) === taken) links.delete(key);
    return true;
  };
  try {
    const link = await taken.connecting;
    return {
      link,
      release: async () => {
        if (giveBack()) await link.close(0);
      },
    };
  } catch (error) {
    giveBack();
    throw error;
  }
}

const DEFAULT_SERVER = 'nats://127.0.0.1:4222';
