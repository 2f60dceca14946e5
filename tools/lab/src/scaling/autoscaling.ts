import { appendFileSync } from 'node:fs';
import { systemClock } from '@diptych/kernel';
import { decide, NOTHING_DECIDED, type Decision, type InstanceSignals, type ScalingPolicy, type ScalingState } from './decide.js';
import { CPUS_AN_INSTANCE, SCALED_ARMS, type Fleet, type Pool } from './fleet.js';
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

interface ScaledPart {
  readonly pool: Pool;
  readonly reader: SignalReader;
  state: ScalingState;
  starting: number;
  isAsking: boolean;
}

/**
 * Drives a fleet by the decisions on their live signals: each part by itself, once a second, and a line for each decision in a file. A
 * change that is under way is waited for at `stop`.
 */
export class Autoscaling {
  readonly changes: Change[] = [];
  readonly supply: Supply[] = [];
  readonly failures: string[] = [];
  readonly #fleet: Fleet;
  readonly #policy: ScalingPolicy;
  readonly #file: string;
  readonly #parts: readonly ScaledPart[];
  readonly #underWay = new Set<Promise<void>>();
  #timer: Disposable | undefined;

  /** @param file gets the decisions and their reasons, a JSON line each */
  constructor(fleet: Fleet, policy: ScalingPolicy, pools: readonly Pool[], file: string) {
    this.#fleet = fleet;
    this.#policy = policy;
    this.#file = file;
    const reader = () => new SignalReader(CPUS_AN_INSTANCE, () => systemClock.nowMs(), SIGNALS_EVERY_MS * 0.9);
    this.#parts = pools.map((pool) => ({ pool, reader: reader(), state: NOTHING_DECIDED, starting: 0, isAsking: false }));
    for (const pool of pools) this.#note(pool);
  }

  start(): void {
    this.#timer = systemClock.every(SIGNALS_EVERY_MS, () => {
      for (const part of this.#parts) if (!part.isAsking) this.#follow(this.#look(part));
    });
  }

  /** No more decisions; resolves when what was decided is done. */
  async stop(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async #look(part: ScaledPart): Promise<void> {
    part.isAsking = true;
    try {
      // Of the same moment: one that comes to serve while the signals are read is still among those that start.
      const { starting } = part;
      const serving = await this.#read(part);
      const { decision, state } = decide(this.#policy, part.state, { serving, starting }, systemClock.nowMs());
      part.state = state;
      appendFileSync(this.#file, `${JSON.stringify({ wallMs: systemClock.wallMs(), pool: part.pool, ...decision, serving })}\n`);
      const decidedWallMs = systemClock.wallMs();
      for (let i = decision.from; i < decision.to; i++) this.#follow(this.#out(part, decision, decidedWallMs));
      for (let i = decision.from; i > decision.to; i--) this.#follow(this.#in(part, decision, decidedWallMs));
    } finally {
      part.isAsking = false;
    }
  }

  async #read({ pool, reader }: ScaledPart): Promise<InstanceSignals[]> {
    const instances = this.#fleet.serving(pool);
    if (pool !== SCALED_ARMS[this.#fleet.arm].edge) return reader.read(instances);
    const [signals, places] = await Promise.all([reader.read(instances), this.#fleet.places()]);
    return signals.map((own, i) => withPlace(own, places.get(instances[i]!.name)));
  }

  async #out(part: ScaledPart, decision: Decision, decidedWallMs: number): Promise<void> {
    part.starting++;
    try {
      await this.#fleet.add(part.pool);
    } finally {
      part.starting--;
    }
    this.#note(part.pool);
    this.changes.push({ pool: part.pool, decision, decidedWallMs, doneWallMs: systemClock.wallMs() });
  }

  /** The youngest goes: those that are older have warmer caches. */
  async #in(part: ScaledPart, decision: Decision, decidedWallMs: number): Promise<void> {
    const youngest = this.#fleet.serving(part.pool).at(-1)!;
    const leaving = this.#fleet.remove(youngest);
    this.#note(part.pool);
    await leaving;
    this.changes.push({ pool: part.pool, decision, decidedWallMs, doneWallMs: systemClock.wallMs() });
  }

  #note(pool: Pool): void {
    this.supply.push({ wallMs: systemClock.wallMs(), pool, instances: this.#fleet.serving(pool).length });
  }

  #follow(work: Promise<void>): void {
    const followed = work.catch((error: unknown) => void this.failures.push(String(error)));
    this.#underWay.add(followed);
    void followed.finally(() => this.#underWay.delete(followed));
  }
}
