import type { Socket } from 'node:net';
import { DiptychError, systemClock } from '@diptych/kernel';
import type { NatsConnection } from '@nats-io/transport-node';
import type { FaultListener } from '../faults.js';
import type { Dialled } from './dial.js';

export interface SessionOptions {
  /** How often the broker is asked whether it is there. */
  readonly pingIntervalMs: number;
  /** Questions without an answer after which the connection counts as lost. */
  readonly pingsOutMax: number;
}

/** One connection as long as it lasts, with its heartbeat. */
export class Session {
  readonly nats: NatsConnection;
  readonly payloadBytesMax: number;
  readonly #socket: Socket | undefined;
  /** Addresses of the brokers of the cluster, as this one last announced them. It says so whenever one joins or leaves. */
  announced: readonly string[];
  readonly #heartbeat: Disposable;
  /** Pings since the last answer. Counted, not timed: a loop that was blocked for a while has not read the answers yet. */
  #pingsOut = 0;

  constructor({ nats, socket }: Dialled, options: SessionOptions, onLost: (why: unknown) => void, onFault: FaultListener) {
    this.nats = nats;
    this.#socket = socket;
    this.announced = nats.info?.connect_urls ?? [];
    this.payloadBytesMax = nats.info?.max_payload ?? Number.MAX_SAFE_INTEGER;
    this.#heartbeat = systemClock.every(options.pingIntervalMs, () => {
      if (this.#pingsOut >= options.pingsOutMax) return onLost(new Error(`the broker left ${this.#pingsOut} pings unanswered`));
      this.#pingsOut++;
      this.announced = nats.info?.connect_urls ?? this.announced;
      nats.flush().then(
        () => (this.#pingsOut = 0),
        () => undefined,
      );
    });
    void this.#hear(onFault);
    void nats.closed().then((why) => onLost(why ?? undefined));
  }

  /** What was written and the broker has not taken yet. */
  get backlogBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /** What the broker refuses, a subject for one, it says beside the calls: nobody else would ever hear why they find no end. Ends with the connection. */
  async #hear(onFault: FaultListener): Promise<void> {
    for await (const status of this.nats.status()) {
      if (status.type === 'error')
        onFault(new DiptychError('PERMISSION_DENIED', `the NATS server refuses: ${status.error.message}`, { cause: status.error }));
    }
  }

  async end(): Promise<void> {
    this.#heartbeat[Symbol.dispose]();
    await this.nats.close().catch(() => undefined);
  }
}

/** Resolves when the broker has answered, or with the end of the connection: a flush that is under way then would never settle. */
export async function flushed(nats: NatsConnection): Promise<void> {
  await Promise.race([nats.flush().catch(() => undefined), nats.closed()]);
}
