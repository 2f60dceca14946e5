import { DiptychError, systemClock } from '@diptych/kernel';
import { cannotReach } from '../nats/connection-errors.js';
import { connectNats } from '../nats/connect-nats.js';
import { parseServerAddress } from '../nats/dial.js';
import type { NatsLink, NatsOptions } from '../nats/nats-link.js';

/** How the Nest server and client reach NATS. With the same options, all of one process share one connection. */
export interface DiptychTransportOptions extends Partial<NatsOptions> {
  /** A link that somebody else owns, and closes. The other options for connecting are not looked at then. */
  readonly link?: NatsLink;
}

/** A share in a link. The last one that is given back closes it. */
export interface LinkShare {
  /** @throws what `connectNats` throws; UNAVAILABLE also when the share was given back before there was a connection, whether or not others wait for it still */
  readonly link: Promise<NatsLink>;
  /** What is being connected for nobody any more is given up. Never rejects. Safe to repeat. */
  release(): Promise<void>;
}

/** By what it connects to. As many as there are different options in the process. */
const links = new Map<string, SharedLink>();

export function shareLink(options: DiptychTransportOptions): LinkShare {
  if (options.link) return { link: Promise.resolve(options.link), release: async () => undefined };
  const { servers = DEFAULT_SERVER, name = `nest-${process.pid}`, connectTimeoutMs = 30_000, onFault } = options;
  const { bounds, tls, pingIntervalMs, pingsOutMax } = options;
  const key = JSON.stringify([servers, name, bounds, tls, pingIntervalMs, pingsOutMax]);
  // Who wants to hear of faults does not want to hear of those of others.
  let shared = onFault ? undefined : links.get(key);
  if (!shared) {
    const given = Object.entries({ bounds, tls, pingIntervalMs, pingsOutMax, onFault }).filter(([, value]) => value !== undefined);
    // How long it is tried is for each share to say.
    const all: NatsOptions = { servers, name, connectTimeoutMs: Number.POSITIVE_INFINITY, ...Object.fromEntries(given) };
    const made = new SharedLink(all, () => {
      if (links.get(key) === made) links.delete(key);
    });
    if (!onFault) links.set(key, made);
    shared = made;
  }
  return shared.share(connectTimeoutMs);
}

class SharedLink {
  readonly #servers: string | readonly string[];
  readonly #connecting: Promise<NatsLink>;
  readonly #givenUp = new AbortController();
  readonly #onEnd: () => void;
  readonly #shares = new Set<Share>();
  #link: NatsLink | undefined;

  /** @param onEnd it is not to be shared any more: whoever asks next tries again */
  constructor(options: NatsOptions, onEnd: () => void) {
    this.#servers = options.servers;
    this.#onEnd = onEnd;
    this.#connecting = connectNats(options, this.#givenUp.signal);
    this.#connecting.then(
      (link) => {
        this.#link = link;
        for (const share of this.#shares) share.resolve(link);
      },
      (error: unknown) => {
        onEnd();
        // Of the one whose time is up, and who gave it up for that, the error is made there.
        for (const share of this.#shares) share.reject(error);
      },
    );
  }

  share(connectTimeoutMs: number): LinkShare {
    const { promise: link, resolve, reject } = Promise.withResolvers<NatsLink>();
    const giveUp = async () => {
      const failure = await this.#end(share);
      reject(cannotReach({ servers: [this.#servers].flat().map(parseServerAddress), connectTimeoutMs }, failure));
    };
    const patience = systemClock.after(Math.min(connectTimeoutMs, TIMER_MS_MAX), () => void giveUp());
    const settled = <T>(settle: (value: T) => void) => {
      return (value: T) => {
        patience[Symbol.dispose]();
        settle(value);
      };
    };
    const share: Share = { resolve: settled(resolve), reject: settled(reject) };
    this.#shares.add(share);
    if (this.#link) share.resolve(this.#link);
    const release = async () => {
      share.reject(new DiptychError('UNAVAILABLE', 'the connection to NATS was given up before it was made'));
      await this.#end(share);
    };
    return { link, release };
  }

  /** @returns why there is no connection */
  async #end(share: Share): Promise<unknown> {
    if (!this.#shares.delete(share) || this.#shares.size > 0) return new Error('others of this process go on trying');
    this.#onEnd();
    // Later there is more to end than the connection.
    if (!this.#link) this.#givenUp.abort();
    return this.#connecting.then(
      (link) => link.close(0),
      (error: Error) => error.cause ?? error,
    );
  }
}

interface Share {
  readonly resolve: (link: NatsLink) => void;
  readonly reject: (error: unknown) => void;
}

const DEFAULT_SERVER = 'nats://127.0.0.1:4222';
/** Node's timers cannot wait longer: 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;
