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
    return this.#start(periodMs, Math.max(periodMs, 0.001), callback);
  }

  /** Time passes and every timer fires when it is due. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (let timer = this.#next(endMs); timer; timer = this.#next(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      this.#fire(timer);
    }
    this.#nowMs = Math.max(this.#nowMs, endMs);
  }

  /** As `advance`, and lets promises settle before each timer, at most `stepMs` apart, and at the end. */
  async advanceAsync(byMs: number, stepMs = Infinity): Promise<void> {
    const endMs = this.#nowMs + byMs;
    await settled();
    while (this.#nowMs < endMs || this.#next(endMs)) {
      const stepEndMs = Math.min(endMs, this.#nowMs + stepMs);
      this.advance((this.#next(stepEndMs)?.atMs ?? stepEndMs) - this.#nowMs);
      await settled();
    }
  }

  /** The process stands still for `byMs`, as if stopped or blocked; then what is due fires once, however often it was missed. */
  stall(byMs: number): void {
    this.#nowMs += byMs;
    const due = [...this.#timers].filter(({ atMs }) => atMs <= this.#nowMs).sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    for (const timer of due) if (this.#timers.has(timer)) this.#fire(timer);
  }

  #fire(timer: Timer): void {
    if (timer.periodMs === undefined) this.#timers.delete(timer);
    else timer.atMs = this.#nowMs + timer.periodMs;
    timer.callback();
  }

  #start(delayMs: number, periodMs: number | undefined, callback: () => void): Disposable {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, periodMs, callback };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  #next(endMs: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.atMs > endMs) continue;
      if (!first || timer.atMs < first.atMs || (timer.atMs === first.atMs && timer.order < first.order)) first = timer;
    }
    return first;
  }
}

/** Two turns of the event loop: enough for any chain of promises that waits for nothing outside. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}
