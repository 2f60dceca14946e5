import type { Clock } from '../clock.js';

interface Timer {
  atMs: number;
  readonly order: number;
  readonly periodMs: number | undefined;
  readonly callback: () => void;
}

/** A clock that stands still until a test moves it. Callbacks run in order of their time, inside `advance`. */
export class FakeClock implements Clock {
  #nowMs: number;
  readonly #wallStartMs: number;
  #order = 0;
  readonly #timers = new Set<Timer>();

  constructor(options: { nowMs?: number; wallMs?: number } = {}) {
    this.#nowMs = options.nowMs ?? 0;
    this.#wallStartMs = (options.wallMs ?? Date.UTC(2026, 0, 1)) - this.#nowMs;
  }

  /** Timers that still wait: a leak check for tests. */
  get pending(): number {
    return this.#timers.size;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#wallStartMs + this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Disposable {
    return this.#start(delayMs, undefined, callback);
  }

  every(periodMs: number, callback: () => void): Disposable {
    return this.#start(periodMs, periodMs, callback);
  }

  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (let timer = this.#next(endMs); timer; timer = this.#next(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      if (timer.periodMs === undefined) this.#timers.delete(timer);
      else timer.atMs += Math.max(timer.periodMs, 0.001);
      timer.callback();
    }
    this.#nowMs = endMs;
  }

  #start(delayMs: number, periodMs: number | undefined, callback: () => void): Disposable {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, periodMs, callback };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  #next(endMs: number) {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.atMs > endMs) continue;
      if (!first || timer.atMs < first.atMs || (timer.atMs === first.atMs && timer.order < first.order)) first = timer;
    }
    return first;
  }
}
