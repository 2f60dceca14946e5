import { waitFor } from '@diptych/testing';
import type { Fate, FaultName, Outage } from '../outage-table.js';
import type { Cell } from './outage.js';
import { CAPABILITIES, PERIOD_MS, Probes, type Capability } from './probes.js';
import { repeats } from './repeats.js';

/** When what, by the clock of the probes (`performance.now`), and how it was shown. */
export interface Course {
  readonly beganMs: number;
  /** What was due in this stretch says what survives. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly endedMs: number;
  /** From here on it may be well again. */
  readonly healingMs: number;
  readonly proof: string;
}

const RECOVERY_MS_MAX = 30_000;
const STEADY_MS = 500;

/** One arm with a user who asks it for everything while a fault lasts, and what becomes of it. */
export class Watch implements AsyncDisposable {
  readonly outage: Outage;
  readonly #url: string;
  readonly #probes: Probes;
  #wellMs = NaN;
  #repeats = NaN;

  private constructor(outage: Outage, url: string, probes: Probes) {
    this.outage = outage;
    this.#url = url;
    this.#probes = probes;
  }

  /** Resolves when everything is answered rightly. @throws Error when the panel is not well to begin with */
  static async start(outage: Outage, url: string, prefix: string): Promise<Watch> {
    const watch = new Watch(outage, url, await Probes.start(url, prefix));
    await watch.#steady(performance.now(), 'the panel is well to begin with').catch(async (error: unknown) => {
      await watch[Symbol.asyncDispose]();
      throw error;
    });
    return watch;
  }

  /** Since when every capability has been answered rightly again. */
  get wellMs(): number {
    return this.#wellMs;
  }

  /** Resolves when all that was asked for until now has been answered, or given up. */
  async answered(): Promise<void> {
    const nowMs = performance.now();
    await waitFor(() => this.#probes.waitingSinceMs > nowMs, { timeoutMs: RECOVERY_MS_MAX, what: 'all is answered', pollMs: 20 });
  }

  /** Resolves when every capability has been answered rightly for half a second. @throws Error when that is not so in time */
  async untilWell(fromMs: number): Promise<void> {
    this.#wellMs = await this.#steady(fromMs, 'it heals by itself');
  }

  /** Calls that the guards of the edge make again are counted from now on. */
  async countRepeats(): Promise<void> {
    this.#repeats = await repeats(this.#url);
  }

  /** Until now. */
  async noteRepeats(): Promise<void> {
    this.#repeats = (await repeats(this.#url)) - this.#repeats;
  }

  stop(): Promise<void> {
    return this.#probes.stop();
  }

  /** @returns also the share of the requests that were sent when they were due, and every key that is in a state it cannot be in */
  async findings(fault: FaultName, course: Course): Promise<{ cell: Cell; sent: number; lost: readonly string[] }> {
    const { name, arm, expected } = this.outage;
    const { fromMs, toMs } = course;
    const { acknowledged, lost } = await this.#probes.readBack();
    const shares = perCapability((capability) => this.#rightShare(capability, course));
    const goodShares = CAPABILITIES.map((capability) => this.#goodShare(capability, course));
    const seen = perCapability((capability) => fateOf(shares[capability]));
    const survivors = CAPABILITIES.filter((capability) => seen[capability] === 'survives');
    const cell: Cell = {
      fault,
      name,
      arm,
      expected,
      seen,
      shares,
      goodput: goodShares.reduce((sum, share) => sum + share, 0) / CAPABILITIES.length,
      unsettledMs: Math.round(Math.max(0, ...survivors.map((capability) => this.#unsettledMs(capability, course)))),
      medianMs: perCapability((capability) => this.#medianMs(capability, course)),
      recoveryMs: Math.round(this.#wellMs - course.healingMs),
      written: acknowledged,
      lost: lost.length,
      repeatsAfter: this.#repeats,
      proof: course.proof,
      answers: this.#tally(course),
    };
    const sent = Math.min(
      ...CAPABILITIES.map((capability) => (this.#probes.due(capability, fromMs, toMs).length * PERIOD_MS) / (toMs - fromMs)),
    );
    return { cell, sent, lost };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#probes[Symbol.asyncDispose]();
  }

  async #steady(fromMs: number, what: string): Promise<number> {
    const runs = await waitFor(
      () => {
        const since = CAPABILITIES.map((capability) => this.#steadySince(capability, fromMs));
        return since.every((each) => each !== undefined) && since;
      },
      { timeoutMs: RECOVERY_MS_MAX, what, pollMs: 50 },
    );
    return Math.max(...runs);
  }

  /** When the present run of right answers began, if it is long enough. */
  #steadySince(capability: Capability, fromMs: number): number | undefined {
    const due = this.#probes.due(capability, fromMs, Infinity).sort((a, b) => a.dueMs - b.dueMs);
    const run = due.slice(due.findLastIndex(({ good }) => !good) + 1);
    const [first, last] = [run[0], run.at(-1)];
    return first && last && last.dueMs - first.dueMs >= STEADY_MS ? first.dueMs : undefined;
  }

  /** Late is a measure of its own: whether something can be done at all shall not depend on how busy the machine is. */
  #rightShare(capability: Capability, { fromMs, toMs, endedMs }: Course): number {
    const due = this.#probes.due(capability, fromMs, toMs);
    if (due.length < 10) throw new Error(`only ${due.length} requests for ${capability} were due while the fault lasted`);
    return due.filter(({ right, doneMs }) => right && doneMs <= endedMs).length / due.length;
  }

  #goodShare(capability: Capability, { beganMs, toMs }: Course): number {
    const due = this.#probes.due(capability, beganMs, toMs);
    return due.filter(({ good }) => good).length / due.length;
  }

  /** One alone may be late for a reason of the machine's. */
  #unsettledMs(capability: Capability, { beganMs, toMs }: Course): number {
    const due = this.#probes.due(capability, beganMs, toMs).sort((a, b) => a.dueMs - b.dueMs);
    const last = due.findLast(({ good }, index) => !good && due[index - 1]?.good === false);
    return last ? last.dueMs + PERIOD_MS - beganMs : 0;
  }

  #medianMs(capability: Capability, { fromMs, toMs }: Course): number {
    const times = this.#probes.due(capability, fromMs, toMs).map(({ dueMs, doneMs }) => doneMs - dueMs);
    return Math.round(times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? NaN);
  }

  #tally({ fromMs, toMs }: Course): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const capability of CAPABILITIES)
      for (const { answer } of this.#probes.due(capability, fromMs, toMs)) {
        const kind = `${capability} ${answer}`;
        counts[kind] = (counts[kind] ?? 0) + 1;
      }
    return counts;
  }
}

function fateOf(share: number): Fate {
  if (share >= 0.95) return 'survives';
  return share <= 0.05 ? 'fails' : 'interrupted';
}

function perCapability<T>(of: (capability: Capability) => T): Record<Capability, T> {
  return Object.fromEntries(CAPABILITIES.map((capability) => [capability, of(capability)])) as Record<Capability, T>;
}
