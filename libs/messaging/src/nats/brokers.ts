import { systemClock } from '@diptych/kernel';
import type { BrokerAddress, NatsClientOptions } from './client/broker.js';
import type { NatsClient } from './client/nats-client.js';
import { dial, parseServerAddress } from './dial.js';

/** Where brokers are: those that were configured, and those of the cluster that one of them told of. */
export class Brokers {
  readonly #servers: readonly BrokerAddress[];
  readonly #options: Pick<NatsClientOptions, 'name' | 'tls'>;
  #announced: readonly BrokerAddress[] = [];
  /** When, by name; as many as addresses were known lately. */
  readonly #failedMs = new Map<string, number>();

  constructor(servers: readonly BrokerAddress[], options: Pick<NatsClientOptions, 'name' | 'tls'>) {
    this.#servers = servers;
    this.#options = options;
  }

  /**
   * Connects to the first that answers, beginning anywhere in the list so that clients spread over it; the announced ones come behind the others, and those that
   * were lost or did not answer a short while ago behind all: one that is gone without a word costs `DIAL_TIMEOUT_MS` to find that out.
   *
   * @throws Error of the one that was tried last, when none has answered by `endMs` or `signal` is aborted
   */
  async dialAny(endMs: number, signal: AbortSignal): Promise<NatsClient> {
    let failure: unknown = new Error('no time was left');
    for (const address of this.#inOrder()) {
      const timeoutMs = Math.min(DIAL_TIMEOUT_MS, endMs - systemClock.nowMs());
      if (timeoutMs <= 0) break;
      try {
        return await dial({ ...this.#options, address, timeoutMs, signal });
      } catch (error) {
        failure = error;
        this.failed(address);
      }
    }
    throw failure;
  }

  /** Whoever is at this address is gone, or does not answer. */
  failed(address: BrokerAddress): void {
    this.#failedMs.set(nameOf(address), systemClock.nowMs());
  }

  #inOrder(): BrokerAddress[] {
    const servers = this.#servers;
    const start = Math.floor(Math.random() * servers.length);
    const sinceMs = systemClock.nowMs() - FORGIVEN_MS;
    for (const [name, atMs] of this.#failedMs) if (atMs < sinceMs) this.#failedMs.delete(name);
    const failedMs = (address: BrokerAddress) => this.#failedMs.get(nameOf(address)) ?? Number.NEGATIVE_INFINITY;
    const all = [...servers.slice(start), ...servers.slice(0, start), ...this.#announced];
    // Of those that failed the one first that has had the longest time since. Sorting keeps the order of the others.
    return all.sort((one, other) => (failedMs(one) === failedMs(other) ? 0 : failedMs(one) - failedMs(other)));
  }

  /** Notes the other brokers of the cluster, as the one that is lost announced them. */
  learn(addresses: readonly string[]): void {
    const known = new Set(this.#servers.map(nameOf));
    const { user, password, needsTls } = this.#servers[0]!;
    this.#announced = addresses.slice(0, ANNOUNCED_MAX).flatMap((text) => {
      try {
        const { host, port } = parseServerAddress(text);
        return known.has(nameOf({ host, port })) ? [] : [{ host, port, user, password, needsTls }];
      } catch {
        return [];
      }
    });
  }
}

function nameOf({ host, port }: Pick<BrokerAddress, 'host' | 'port'>): string {
  return `${host}:${port}`;
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
/** Time for a broker to be started again. */
const FORGIVEN_MS = 10_000;
/** A cluster has a handful of brokers; a list without end is none. */
const ANNOUNCED_MAX = 32;
