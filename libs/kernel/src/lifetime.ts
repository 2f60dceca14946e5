import type { Clock } from './clock.js';
import { systemClock } from './clock.js';
import { DiptychError } from './errors.js';

/** What a `Lifetime` can end: something disposable, or the function that ends it. */
export type Endable = Disposable | AsyncDisposable | (() => void | Promise<void>);

/**
 * The owner of everything a part has running: timers, subscriptions, loops, sockets. Nothing starts without saying here how
 * it stops. Closing ends what is owned in reverse order of its start, each within what is left of the grace time, and
 * goes on past those that fail.
 *
 * What ends by itself before that must be disowned, or a part that lives long collects the dead.
 */
export class Lifetime {
  readonly name: string;
  readonly #clock: Clock;
  readonly #owned = new Set<Owned>();
  readonly #abort = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(name: string, options: { clock?: Clock } = {}) {
    this.name = name;
    this.#clock = options.clock ?? systemClock;
  }

  /** Aborted as soon as closing begins: loops watch it. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Names of what is still owned, oldest first. */
  get owned(): readonly string[] {
    return Array.from(this.#owned, ({ name }) => name);
  }

  /**
   * Takes ownership.
   *
   * @throws UNAVAILABLE when closing has begun; what was offered is closed at once
   */
  own<T extends Endable>(name: string, thing: T): T {
    if (this.#closing) {
      void closed(thing).catch(() => undefined);
      throw this.#refusal(name);
    }
    this.#owned.add({ name, thing });
    return thing;
  }

  /** Gives up what ended by itself, without ending it. False when it is not owned. */
  disown(thing: Endable): boolean {
    for (const owned of this.#owned) if (owned.thing === thing) return this.#owned.delete(owned);
    return false;
  }

  /**
   * Starts a loop that is told to stop by `signal` and awaited on close. A loop that throws before that reports to
   * `onFailure`, which must not throw; anything thrown after closing began counts as a clean end. A loop that ends is disowned.
   *
   * @throws UNAVAILABLE when closing has begun; the loop is not started
   */
  spawn(name: string, loop: (signal: AbortSignal) => Promise<void>, onFailure: (error: unknown) => void): void {
    if (this.#closing) throw this.#refusal(name);
    const running = (async () => loop(this.signal))()
      .catch((error: unknown) => {
        if (!this.signal.aborted) onFailure(error);
      })
      .finally(() => this.disown(ended));
    const ended = () => running;
    // Not by `own`: if the first step of the loop has closed this lifetime, closing still waits for the rest of it.
    this.#owned.add({ name, thing: ended });
  }

  /**
   * Ends all that is owned, newest first. Safe to repeat: later calls wait for the first.
   *
   * @throws AggregateError of what failed or did not end within `graceMs`, after all was tried
   */
  close(graceMs = 10_000): Promise<void> {
    if (!this.#closing) {
      // Set before anyone is told, so that whoever closes or owns in answer to the signal finds it closing.
      this.#closing = Promise.resolve().then(() => this.#endAll(graceMs));
      this.#abort.abort(new DiptychError('CANCELLED', `${this.name} is closing`));
    }
    return this.#closing;
  }

  async #endAll(graceMs: number): Promise<void> {
    const endMs = this.#clock.nowMs() + graceMs;
    const late: string[] = [];
    const failures: unknown[] = [];
    for (const owned of [...this.#owned].reverse()) {
      if (!this.#owned.has(owned)) continue;
      try {
        await this.#endsBefore(closed(owned.thing), endMs, `${this.name}: ${owned.name} did not end within ${graceMs} ms`);
      } catch (error) {
        late.push(owned.name);
        failures.push(error);
      }
      this.#owned.delete(owned);
    }
    if (failures.length > 0) throw new AggregateError(failures, `${this.name}: ${late.join(', ')} did not end cleanly`);
  }

  async #endsBefore(ending: Promise<void>, endMs: number, message: string): Promise<void> {
    let timer: Disposable | undefined;
    const late = new Promise<never>((_, reject) => {
      const leftMs = Math.max(0, endMs - this.#clock.nowMs());
      timer = this.#clock.after(leftMs, () => reject(new DiptychError('DEADLINE_EXCEEDED', message)));
    });
    try {
      await Promise.race([ending, late]);
    } finally {
      timer?.[Symbol.dispose]();
    }
  }

  #refusal(name: string): DiptychError {
    return new DiptychError('UNAVAILABLE', `${this.name} is closing; ${name} was not started`);
  }
}

interface Owned {
  readonly name: string;
  readonly thing: Endable;
}

/** Ends it now; a failure, thrown at once or later, is always a rejection. */
async function closed(thing: Endable): Promise<void> {
  if (typeof thing === 'function') await thing();
  else if (Symbol.asyncDispose in thing) await thing[Symbol.asyncDispose]();
  else thing[Symbol.dispose]();
}
