import { appendFileSync } from 'node:fs';
import { systemClock, type Clock } from '@diptych/kernel';
import type { BalancerSlot } from './balancer.js';
import { decide, NOTHING_DECIDED, type Decision, type InstanceSignals, type ScalingPolicy, type ScalingState } from './decide.js';
import { CPUS_AN_INSTANCE, SCALED_ARMS, type Fleet, type Instance, type Pool } from './fleet.js';
import { SIGNALS_EVERY_MS } from './policy.js';
import { SignalReader, withPlace } from './signals.js';

/** A change of the number of instances of one part, and when it was done: out when the new one takes requests, in when the old one gets none. */
export interface Change {
  readonly pool: Pool;
  readonly decision: Decision;
  /** Wall clock, as the load's own seconds are. */
  readonly decidedWallMs: number;
  readonly doneWallMs: number;
}

/** How many instances of a part took requests from some moment on. */
export interface Supply {
  readonly wallMs: number;
  readonly pool: Pool;
  readonly instances: number;
}

export interface AutoscalingOptions {
  /** Gets the decisions and their reasons, a JSON line each. */
  readonly file: string;
  readonly clock?: Clock;
  /** Asks instances for their signals; default: over HTTP. */
  readonly read?: (instances: readonly Instance[]) => Promise<InstanceSignals[]>;
}

interface ScaledPart {
  readonly pool: Pool;
  readonly read: (instances: readonly Instance[]) => Promise<InstanceSignals[]>;
  state: ScalingState;
  /** How many there are to be, by what was decided and could be done. Fewer serve and start when one has ended by itself. */
  desired: number;
  starting: number;
  isAsking: boolean;
}

/**
 * Drives a fleet by the decisions on their live signals: each part by itself, once a second, and a line for each decision in a file. What ends by itself is
 * replaced without a decision, as a ReplicaSet does it. A change that is under way is waited for at `stop`.
 */
export class Autoscaling {
  readonly changes: Change[] = [];
  readonly supply: Supply[] = [];
  /** Of changes, and each instance that ended by itself, in a sentence. */
  readonly failures: string[] = [];
  readonly #fleet: Fleet;
  readonly #policy: ScalingPolicy;
  readonly #file: string;
  readonly #clock: Clock;
  readonly #parts: readonly ScaledPart[];
  readonly #underWay = new Set<Promise<void>>();
  #timer: Disposable | undefined;
  #isOver = false;

  constructor(fleet: Fleet, policy: ScalingPolicy, pools: readonly Pool[], { file, clock = systemClock, read }: AutoscalingOptions) {
    this.#fleet = fleet;
    this.#policy = policy;
    this.#file = file;
    this.#clock = clock;
    this.#parts = pools.map((pool) => {
      const reader = new SignalReader(CPUS_AN_INSTANCE, () => clock.nowMs(), SIGNALS_EVERY_MS * 0.9);
      const desired = fleet.serving(pool).length;
      return { pool, read: read ?? ((instances) => reader.read(instances)), state: NOTHING_DECIDED, desired, starting: 0, isAsking: false };
    });
    for (const pool of pools) this.#note(pool);
  }

  start(): void {
    this.#timer = this.#clock.every(SIGNALS_EVERY_MS, () => {
      for (const part of this.#parts) if (!part.isAsking) this.#follow(this.#look(part));
    });
  }

  /** No more decisions; resolves when what was decided is done. Safe to repeat. */
  async stop(): Promise<void> {
    this.#isOver = true;
    this.#timer?.[Symbol.dispose]();
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async #look(part: ScaledPart): Promise<void> {
    part.isAsking = true;
    try {
      this.#replaceWhatEnded(part);
      // Of the same moment: one that comes to serve while the signals are read is still among those that start.
      const { starting } = part;
      const serving = await this.#read(part);
      if (this.#isOver) return;
      const { decision, state } = decide(this.#policy, part.state, { serving, starting }, this.#clock.nowMs());
      part.state = state;
      this.#record(part.pool, { ...decision, serving });
      const decidedWallMs = this.#clock.wallMs();
      part.desired += decision.to - decision.from;
      for (let i = decision.from; i < decision.to; i++) this.#follow(this.#out(part, decision, decidedWallMs));
      for (let i = decision.from; i > decision.to; i--) this.#follow(this.#in(part, decision, decidedWallMs));
    } finally {
      part.isAsking = false;
    }
  }

  #replaceWhatEnded(part: ScaledPart): void {
    const there = this.#fleet.serving(part.pool).length + part.starting;
    const ended = part.desired - there;
    if (ended <= 0) return;
    const why = `${ended} ${part.pool} ended without being told to: ${there} to ${part.desired}`;
    this.failures.push(why);
    this.#note(part.pool);
    this.#record(part.pool, { kind: 'replace', from: there, to: part.desired, why, atMs: this.#clock.nowMs() });
    for (let i = 0; i < ended; i++) this.#follow(this.#add(part));
  }

  async #read({ pool, read }: ScaledPart): Promise<InstanceSignals[]> {
    const instances = this.#fleet.serving(pool);
    if (pool !== SCALED_ARMS[this.#fleet.arm].edge) return read(instances);
    const [signals, places] = await Promise.all([read(instances), this.#fleet.places()]);
    return signals.map((own, i) => withPlace(own, places.get(instances[i]!.name)));
  }

  async #out(part: ScaledPart, decision: Decision, decidedWallMs: number): Promise<void> {
    await this.#add(part);
    this.changes.push({ pool: part.pool, decision, decidedWallMs, doneWallMs: this.#clock.wallMs() });
  }

  async #add(part: ScaledPart): Promise<void> {
    part.starting++;
    try {
      await this.#fleet.add(part.pool);
    } catch (error) {
      // Nobody replaces what never came: whether it is still needed, the next decisions say, in their own time.
      part.desired--;
      throw error;
    } finally {
      part.starting--;
    }
    this.#note(part.pool);
  }

  /** Who answers nothing goes first, as the balancer sees it; else the youngest: those that are older have warmer caches. */
  async #in(part: ScaledPart, decision: Decision, decidedWallMs: number): Promise<void> {
    const places = await this.#fleet.places().catch(() => new Map<string, BalancerSlot>());
    const serving = this.#fleet.serving(part.pool);
    const leaver = serving.find(({ name }) => places.get(name)?.status.startsWith('DOWN')) ?? serving.at(-1);
    // One has ended by itself since the signals were read: there are as few as there are to be.
    if (!leaver || serving.length <= decision.to) return;
    const leaving = this.#fleet.remove(leaver);
    this.#note(part.pool);
    await leaving;
    this.changes.push({ pool: part.pool, decision, decidedWallMs, doneWallMs: this.#clock.wallMs() });
  }

  #note(pool: Pool): void {
    this.supply.push({ wallMs: this.#clock.wallMs(), pool, instances: this.#fleet.serving(pool).length });
  }

  #record(pool: Pool, what: object): void {
    appendFileSync(this.#file, `${JSON.stringify({ wallMs: this.#clock.wallMs(), pool, ...what })}\n`);
  }

  #follow(work: Promise<void>): void {
    const followed = work.catch((error: unknown) => void this.failures.push(String(error)));
    this.#underWay.add(followed);
    void followed.finally(() => this.#underWay.delete(followed));
  }
}
