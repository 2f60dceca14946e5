import type { Clock } from '@diptych/kernel';
import type { CommitEvent, LogPort, Position } from '../log.port.js';
import { BEACON_PERIOD_MS } from '../log.port.js';

type Subscription = Awaited<ReturnType<LogPort['commits']>>;

/** Who listens to commits, and the beacon that is sent while anybody does. */
export class CommitTopic {
  readonly #clock: Clock;
  readonly #head: () => Position;
  readonly #onWarning: (message: string) => void;
  readonly #listeners = new Set<{ readonly listener: (event: CommitEvent) => void }>();
  #beacon: Disposable | undefined;

  constructor(options: { clock: Clock; head: () => Position; onWarning: (message: string) => void }) {
    this.#clock = options.clock;
    this.#head = options.head;
    this.#onWarning = options.onWarning;
  }

  get listening(): boolean {
    return this.#listeners.size > 0;
  }

  subscribe(listener: (event: CommitEvent) => void): Subscription {
    const entry = { listener };
    this.#listeners.add(entry);
    if (!this.#beacon) {
      this.#beacon = this.#clock.every(BEACON_PERIOD_MS, () => this.#sendBeacon(), { unref: true });
      // At once: readers of a log that came back shorter learn of it before its next commit, which bears a revision they may know.
      this.#sendBeacon();
    }
    return { delivery: 'synchronous', [Symbol.dispose]: () => this.#drop(entry) };
  }

  /** Every listener runs before this returns. One that throws does not keep the others, or the append, from their due. */
  emit(event: CommitEvent): void {
    for (const { listener } of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#onWarning(`a listener to commits failed: ${String(error)}`);
      }
    }
  }

  close(): void {
    this.#listeners.clear();
    this.#endBeacon();
  }

  #sendBeacon(): void {
    this.emit({ kind: 'beacon', head: this.#head(), sentWallMs: this.#clock.wallMs() });
  }

  #drop(entry: { readonly listener: (event: CommitEvent) => void }): void {
    this.#listeners.delete(entry);
    if (this.#listeners.size === 0) this.#endBeacon();
  }

  #endBeacon(): void {
    this.#beacon?.[Symbol.dispose]();
    this.#beacon = undefined;
  }
}
