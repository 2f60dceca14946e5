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

/** A message or a subscription that the broker has refused. Of a message it says where it went, and not which it was. */
export interface Forbidden {
  readonly operation: 'publish' | 'subscription';
  readonly subject: string;
}

export interface SessionListeners {
  readonly onLost: (why: unknown) => void;
  readonly onForbidden: (what: Forbidden) => void;
  readonly onFault: FaultListener;
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

  constructor({ nats, socket }: Dialled, options: SessionOptions, listeners: SessionListeners) {
    const { onLost } = listeners;
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
    void this.#hear(listeners);
    void nats.closed().then((why) => onLost(why ?? undefined));
  }

  /** What was written and the broker has not taken yet. */
  get backlogBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /**
   * What the broker refuses, a subject for one, it says beside the calls: nobody else would ever hear why they find no end. Of each kind one fault is
   * enough. Ends with the connection.
   */
  async #hear({ onForbidden, onFault }: SessionListeners): Promise<void> {
    const told = new Set<string>();
    for await (const status of this.nats.status()) {
      if (status.type !== 'error') continue;
      const { error } = status;
      if (!told.has(error.message) && told.size < REFUSALS_TOLD_MAX)
        onFault(new DiptychError('PERMISSION_DENIED', `the NATS server refuses: ${error.message}`, { cause: error }));
      if (told.size < REFUSALS_TOLD_MAX) told.add(error.message);
      const forbidden = forbiddenIn(error.message);
      if (forbidden) onForbidden(forbidden);
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

/** `Permissions Violation for Publish to "diptych.cache.v1.get"`: so brokers have said it since 2.0. */
function forbiddenIn(text: string): Forbidden | undefined {
  const [, operation, subject] = /permissions violation for (publish|subscription) to "([^"]+)"/i.exec(text) ?? [];
  return operation && subject ? { operation: operation.toLowerCase() as Forbidden['operation'], subject } : undefined;
}

const REFUSALS_TOLD_MAX = 256;
