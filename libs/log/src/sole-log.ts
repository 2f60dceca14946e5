import { DiptychError, hasCode, systemClock, within } from '@diptych/kernel';
import type { NatsLink } from '@diptych/messaging';
import type { CommitEvent, LogPort, Position } from './log.port.js';
import { BEACON_PERIOD_MS } from './log.port.js';
import { logPort } from './log.wire.js';
import { NO_INCARNATION } from './position-token.js';

/*
 * A broker must have one log only. The servers of a port share its calls, so two logs would each take half of the writes and deny the
 * other half. The directory's lock keeps two processes from one directory; this keeps two directories from one broker.
 */

/** Where a log stands, and so which it is. @throws what `committed` throws */
export async function headOf(log: LogPort, timeoutMs = ASK_TIMEOUT_MS): Promise<Position> {
  const nowhere = { incarnation: NO_INCARNATION, partition: PARTITION, revision: 0 };
  return (await log.committed({ after: nowhere, limit: 1 }, within(timeoutMs))).head;
}

/**
 * Asks whether a log serves on this broker already. One of this very incarnation counts too: this process holds the directory's
 * lock, so that is a copy of it.
 *
 * One that does not answer may be frozen and go on later, or gone without the broker's knowing yet; so it is asked again for
 * `patienceMs`. A process that was killed closed its connection with that, and delays nobody.
 *
 * @throws UNAVAILABLE, with one sentence, when there is one or may be one
 */
export async function assertSoleLog(link: NatsLink, { patienceMs = PATIENCE_MS } = {}): Promise<void> {
  const others = link.client(logPort);
  const endMs = systemClock.nowMs() + patienceMs;
  for (;;) {
    let why: string;
    try {
      const { incarnation } = await headOf(others, Math.min(ASK_TIMEOUT_MS, patienceMs));
      throw new AnotherLog(incarnation);
    } catch (error) {
      if (error instanceof AnotherLog) throw error;
      if (hasCode(error, 'UNAVAILABLE') && link.status === 'connected') return;
      why = error instanceof Error ? error.message : String(error);
    }
    if (systemClock.nowMs() >= endMs)
      throw new DiptychError(
        'UNAVAILABLE',
        `another log may be serving on this broker: it is known there but gave no answer within ${patienceMs} ms (${why}); ` +
          'if it is frozen, end it; if its machine is gone, start again once the broker has noticed',
      );
    await new Promise<void>((resolve) => systemClock.after(RETRY_MS, () => resolve()));
  }
}

class AnotherLog extends DiptychError {
  constructor(incarnation: string) {
    super(
      'UNAVAILABLE',
      `another log (incarnation ${incarnation}) already serves on this broker; stop that one first, or give this one a broker of its own`,
    );
  }
}

/**
 * Notices another log that came to the broker unseen: started in the same moment, thawed, or joined when a network healed. It listens for
 * beacons of other incarnations, for a moment at the start, after each reconnect and every `periodMs`. Not all the time: that
 * would bring every commit of this log back to it.
 *
 * Whoever hears the other first has to go, since nobody here can tell which of them is meant to stay; the last to come listens first.
 */
export class OtherLogWatch implements Disposable {
  readonly #link: NatsLink;
  readonly #own: Position;
  readonly #onOther: (incarnation: string) => void;
  readonly #owned: Disposable[] = [];
  #listening: Disposable | undefined;
  #busy = false;
  #ended = false;

  constructor(link: NatsLink, own: Position, onOther: (incarnation: string) => void, { periodMs = WATCH_PERIOD_MS } = {}) {
    this.#link = link;
    this.#own = own;
    this.#onOther = onOther;
    this.#owned.push(systemClock.every(periodMs, () => this.#listen(), { unref: true }));
    this.#owned.push(link.onStatus((status) => status === 'connected' && this.#listen()));
    this.#listen();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    for (const owned of this.#owned) owned[Symbol.dispose]();
    this.#listening?.[Symbol.dispose]();
  }

  #listen(): void {
    if (this.#busy || this.#ended) return;
    this.#busy = true;
    this.#listenBriefly()
      // Not connected: then nobody hears this log either, and the reconnect begins anew.
      .catch(() => undefined)
      .finally(() => (this.#busy = false));
  }

  async #listenBriefly(): Promise<void> {
    const subscription = await this.#link.client(logPort).commits((event) => this.#hear(event));
    if (this.#ended) return subscription[Symbol.dispose]();
    await new Promise<void>((resolve) => {
      const timer = systemClock.after(LISTEN_MS, () => resolve(), { unref: true });
      this.#listening = { [Symbol.dispose]: () => (timer[Symbol.dispose](), resolve()) };
    });
    subscription[Symbol.dispose]();
  }

  #hear(event: CommitEvent): void {
    if (this.#ended) return;
    const { incarnation, partition } = event.kind === 'beacon' ? event.head : event;
    if (partition !== this.#own.partition || incarnation === this.#own.incarnation) return;
    this[Symbol.dispose]();
    this.#onOther(incarnation);
  }
}

const PARTITION = 0;
const ASK_TIMEOUT_MS = 1_000;
const PATIENCE_MS = 5_000;
const RETRY_MS = 100;
const WATCH_PERIOD_MS = 2_000;
/** Two beacons, and half of one for a busy machine. */
const LISTEN_MS = BEACON_PERIOD_MS * 2.5;
