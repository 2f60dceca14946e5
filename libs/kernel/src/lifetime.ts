import { DiptychError } from './errors.js';
import { systemClock } from './clock.js';

/**
 * The owner of everything a part has running: timers, subscriptions, loops, sockets. Nothing starts without saying here how
 * it stops. Closing ends what is owned in reverse order of its start, each within what is left of the grace time, and
 * goes on past those that fail.
 */
export class Lifetime {
  readonly name: string;
  readonly #owned: Array<{ name: string; close: () => void | Promise<void> }> = [];
  readonly #abort = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** Aborted as soon as closing begins: loops watch it. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Names of what is still owned, oldest first. */
  get owned(): readonly string[] {
    return this.#owned.map(({ name }) => name);
  }

  /**
   * Takes ownership.
   *
   * @throws UNAVAILABLE when closing has begun; what was offered is closed at once
   */
  own<T extends Disposable | AsyncDisposable | (() => void | Promise<void>)>(name: string, thing: T): T {
    const close = closerOf(thing);
    if (this.#closing) {
      void Promise.resolve(close()).catch(() => undefined);
      throw new DiptychError('UNAVAILABLE', `${this.name} is closing; ${name} was not started`);
    }
    this.#owned.push({ name, close });
    return thing;
  }

  /**
   * Starts a loop that is told to stop by `signal` and awaited on close. A loop that throws before that reports to
   * `onFailure`; an AbortError, or anything thrown after closing began, counts as a clean end.
   */
  spawn(name: string, loop: (signal: AbortSignal) => Promise<void>, onFailure: (error: unknown) => void): void {
    const running = loop(this.signal).catch((error: unknown) => {
      if (!this.signal.aborted) onFailure(error);
    });
    this.own(name, () => running);
  }

  /**
   * Ends all that is owned, newest first. Safe to repeat: later calls wait for the first.
   *
   * @throws AggregateError of what failed or did not end within `graceMs`, after all was tried
   */
  close(graceMs = 10_000): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    this.#abort.abort(new DiptychError('CANCELLED', `${this.name} is closing`));
    const endMs = systemClock.nowMs() + graceMs;
    const failures: unknown[] = [];
    for (let thing = this.#owned.pop(); thing; thing = this.#owned.pop()) {
      try {
        await endsBefore(thing.close(), endMs, `${this.name}: ${thing.name} did not end within ${graceMs} ms`);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `${this.name}: ${failures.length} of its parts did not end cleanly`);
  }
}

function closerOf(thing: Disposable | AsyncDisposable | (() => void | Promise<void>)): () => void | Promise<void> {
  if (typeof thing === 'function') return thing;
  if (Symbol.asyncDispose in thing) return async () => thing[Symbol.asyncDispose]();
  return () => thing[Symbol.dispose]();
}

async function endsBefore(ending: void | Promise<void>, endMs: number, message: string): Promise<void> {
  if (!ending) return;
  let timer: Disposable | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = systemClock.after(Math.max(0, endMs - systemClock.nowMs()), () => reject(new DiptychError('DEADLINE_EXCEEDED', message)));
  });
  try {
    await Promise.race([ending, late]);
  } finally {
    timer?.[Symbol.dispose]();
  }
}
