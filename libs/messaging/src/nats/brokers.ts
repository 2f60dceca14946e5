import { systemClock } from '@diptych/kernel';
import type { BrokerAddress, NatsClientOptions } from './client/broker.js';
import type { NatsClient } from './client/nats-client.js';
import { dial, parseServerAddress } from './dial.js';

/** Where brokers are: those that were configured, and those of the cluster that one of them told of. */
export class Brokers {
  readonly #servers: readonly BrokerAddress[];
  readonly #options: Pick<NatsClientOptions, 'name' | 'tls'>;
  #announced: readonly BrokerAddress[] = [];

  constructor(servers: readonly BrokerAddress[], options: Pick<NatsClientOptions, 'name' | 'tls'>) {
    this.#servers = servers;
    this.#options = options;
  }

  /**
   * Connects to the first that answers, beginning anywhere in the list so that clients spread over it; the announced ones come last.
   *
   * @throws Error of the one that was tried last, when none has answered by `endMs` or `signal` is aborted
   */
  async dialAny(endMs: number, signal: AbortSignal): Promise<NatsClient> {
    const servers = this.#servers;
    const start = Math.floor(Math.random() * servers.length);
    let failure: unknown = new Error('no time was left');
    for (const address of [...servers.slice(start), ...servers.slice(0, start), ...this.#announced]) {
      const timeoutMs = Math.min(DIAL_TIMEOUT_MS, endMs - systemClock.nowMs());
      if (timeoutMs <= 0) break;
      try {
        return await dial({ ...this.#options, address, timeoutMs, signal });
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Notes the other brokers of the cluster, as the one that is lost announced them. */
  learn(addresses: readonly string[]): void {
    const known = new Set(this.#servers.map(({ host, port }) => `${host}:${port}`));
    const { user, password, needsTls } = this.#servers[0]!;
    this.#announced = addresses.slice(0, ANNOUNCED_MAX).flatMap((text) => {
      try {
        const { host, port } = parseServerAddress(text);
        return known.has(`${host}:${port}`) ? [] : [{ host, port, user, password, needsTls }];
      } catch {
        return [];
      }
    });
  }
}

/** 25 to 50 ms at first, doubling to 0.5 to 1 s: half of it random, so that clients of a broker that fell do not come back at once. */
export function backoffMs(attempt: number): number {
  const fullMs = Math.min(1_000, 50 * 2 ** Math.min(attempt, 10));
  return fullMs / 2 + (Math.random() * fullMs) / 2;
}

/** How often in a row a connection has not lasted: one that is lost, or sends us away, as soon as it is made is made anew ever more slowly. */
export class Flaps {
  #madeMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  made(): void {
    this.#madeMs = systemClock.nowMs();
  }

  /** Gives back the attempt to begin with, for `backoffMs`. */
  lost(): number {
    this.#count = systemClock.nowMs() - this.#madeMs < LASTING_MS ? this.#count + 1 : 0;
    return this.#count;
  }
}

/** As long as is waited between two attempts at most. */
const LASTING_MS = 1_000;
const DIAL_TIMEOUT_MS = 2_000;
/** A cluster has a handful of brokers; a list without end is none. */
const ANNOUNCED_MAX = 32;
