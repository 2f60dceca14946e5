import { DiptychError, systemClock } from '@diptych/kernel';
import type { FaultListener } from '../faults.js';
import type { NatsClient } from './client/nats-client.js';

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
  /** The broker will end soon. */
  readonly onLameDuck: () => void;
  readonly onFault: FaultListener;
}

/** One connection as long as it lasts, with its heartbeat. */
export class Session {
  readonly nats: NatsClient;
  readonly payloadBytesMax: number;
  /** Addresses of the brokers of the cluster, as this one last announced them. It says so whenever one joins or leaves. */
  announced: readonly string[];
  readonly #heartbeat: Disposable;
  /** Pings since the last answer. Counted, not timed: a loop that was blocked for a while has not read the answers yet. */
  #pingsOut = 0;
  #isLame = false;
  readonly #told = new Set<string>();

  constructor(nats: NatsClient, options: SessionOptions, listeners: SessionListeners) {
    this.nats = nats;
    this.announced = nats.info.connect_urls ?? [];
    this.payloadBytesMax = nats.info.max_payload ?? Number.MAX_SAFE_INTEGER;
    this.#heartbeat = systemClock.every(options.pingIntervalMs, () => {
      if (this.#pingsOut >= options.pingsOutMax) return listeners.onLost(new Error(`the broker left ${this.#pingsOut} pings unanswered`));
      this.#pingsOut++;
      this.announced = nats.info.connect_urls ?? this.announced;
      void nats.flush().then(() => (this.#pingsOut = 0));
    });
    nats.onRefusal = (text) => this.#tell(text, listeners);
    nats.onLameDuck = () => {
      if (this.#isLame) return;
      this.#isLame = true;
      this.announced = nats.info.connect_urls ?? this.announced;
      listeners.onLameDuck();
    };
    void nats.closed.then(listeners.onLost);
  }

  /** What was written and the broker has not taken yet. */
  get backlogBytes(): number {
    return this.nats.backlogBytes;
  }

  /**
   * What the broker refuses, a subject for one, it says beside the calls: nobody else would ever hear why they find no end. Of each kind one fault is
   * enough.
   */
  #tell(text: string, { onForbidden, onFault }: SessionListeners): void {
    if (!this.#told.has(text) && this.#told.size < REFUSALS_TOLD_MAX) {
      this.#told.add(text);
      onFault(new DiptychError('PERMISSION_DENIED', `the NATS server refuses: ${text}`));
    }
    const forbidden = forbiddenIn(text);
    if (forbidden) onForbidden(forbidden);
  }

  async end(): Promise<void> {
    this.#heartbeat[Symbol.dispose]();
    await this.nats.close();
  }
}

/** `Permissions Violation for Publish to "diptych.cache.v1.get"`: so brokers have said it since 2.0. */
function forbiddenIn(text: string): Forbidden | undefined {
  const [, operation, subject] = /permissions violation for (publish|subscription) to "([^"]+)"/i.exec(text) ?? [];
  return operation && subject ? { operation: operation.toLowerCase() as Forbidden['operation'], subject } : undefined;
}

const REFUSALS_TOLD_MAX = 256;
