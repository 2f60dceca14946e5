import { systemClock } from '@diptych/kernel';
import type { Outcome, Trouble } from './model.js';
import { judge, Ran } from './model.js';
import { NARROW_MAX, planOf } from './plan.js';

/** Counts how calls end, and keeps the first of those that must not end so. */
export class Tally {
  readonly begun: Int32Array;
  readonly wrong: Int32Array;
  readonly seed: number;
  readonly #calls: number;
  /** What the outcome of each promises about its handler; 3 while it has none. */
  readonly #promised: Uint8Array;
  readonly #outcomes: Record<string, number> = {};
  readonly #violations: string[] = [];
  #violationCount = 0;
  #lateMsMax = 0;
  #lateMsSum = 0;
  #ran = 0;
  readonly #troubles: Array<{ readonly what: Trouble; readonly beginMs: number; endMs: number }> = [];

  constructor(seed: number, calls: number) {
    this.seed = seed;
    this.#calls = calls;
    // What comes after the planned ones is the look at how calls are spread.
    this.begun = new Int32Array(new SharedArrayBuffer(4 * (calls + SPREAD_CALLS + NARROW_MAX)));
    this.wrong = new Int32Array(new SharedArrayBuffer(4 * (calls + SPREAD_CALLS + NARROW_MAX)));
    this.#promised = new Uint8Array(calls).fill(NO_OUTCOME);
  }

  /** Something that calls in flight may meet begins. Call what it gives back when it is over. */
  begin(what: Trouble): () => void {
    const trouble = { what, beginMs: systemClock.nowMs(), endMs: Number.POSITIVE_INFINITY };
    this.#troubles.push(trouble);
    return () => void (trouble.endMs = systemClock.nowMs());
  }

  ended(i: number, outcome: Outcome, startMs: number, deadlineMs: number): void {
    const nowMs = systemClock.nowMs();
    const name = 'done' in outcome ? 'answered' : `${outcome.code}${outcome.definite ? ', definite' : ''}`;
    this.#outcomes[name] = (this.#outcomes[name] ?? 0) + 1;
    const lateMs = Math.max(0, nowMs - Math.max(startMs, deadlineMs));
    this.#lateMsMax = Math.max(this.#lateMsMax, lateMs);
    this.#lateMsSum += lateMs;
    const met = new Set(this.#troubles.flatMap(({ what, beginMs, endMs }) => (startMs <= endMs && nowMs >= beginMs ? [what] : [])));
    this.#promised[i] = Ran.AT_MOST_ONCE;
    try {
      this.#promised[i] = judge(planOf(this.seed, i), outcome, met);
    } catch (error) {
      this.#violation(i, `${(error as Error).message}, from ${Math.round(startMs)} to ${Math.round(nowMs)} ms`);
    }
  }

  /** Call it when the servers have ended, so that nothing can run any more. */
  lookAtWhatRan(): void {
    for (let i = 0; i < this.#calls; i++) {
      const ran = this.begun[i]!;
      const promised = this.#promised[i];
      this.#ran += ran;
      if (promised === NO_OUTCOME) this.#violation(i, 'it never ended');
      if (ran > 1) this.#violation(i, `its handler ran ${ran} times`);
      if (promised === Ran.NEVER && ran > 0) this.#violation(i, 'its error was definite, and its handler ran');
      if (promised === Ran.ONCE && ran === 0) this.#violation(i, 'its handler answered and never ran');
      if (this.wrong[i] !== 0) this.#violation(i, `it arrived wrong (bits ${this.wrong[i]} of Wrong)`);
    }
  }

  get result() {
    return {
      outcomes: this.#outcomes,
      ran: this.#ran,
      lateMsMax: Math.round(this.#lateMsMax),
      lateMsMean: Math.round((this.#lateMsSum / this.#calls) * 1_000) / 1_000,
      restartsMs: this.#msOf('restart'),
      drainsMs: this.#msOf('drain'),
      violationCount: this.#violationCount,
      violations: this.#violations,
    };
  }

  #msOf(what: Trouble): number {
    return Math.round(this.#troubles.reduce((sum, trouble) => (trouble.what === what ? sum + trouble.endMs - trouble.beginMs : sum), 0));
  }

  #violation(i: number, what: string): void {
    this.#violationCount++;
    if (this.#violations.length < VIOLATIONS_SHOWN) this.#violations.push(`${what}: ${JSON.stringify(planOf(this.seed, i))}`);
  }
}

export const SPREAD_CALLS = 900;
const NO_OUTCOME = 3;
const VIOLATIONS_SHOWN = 12;
