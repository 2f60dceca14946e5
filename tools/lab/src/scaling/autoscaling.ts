import { appendFileSync } from 'node:fs';
import { systemClock, type Clock } from '@diptych/kernel';
import { isDown, type BalancerSlot } from './balancer.js';
import { decide, NOTHING_DECIDED, type Decision, type InstanceSignals, type ScalingPolicy, type ScalingState } from './decide.js';
import { CPUS_AN_INSTANCE, SCALED_ARMS, type Fleet, type Instance, type Pool } from './fleet.js';
import { LOOK_MS_MAX, REPLACEMENT, SIGNALS_EVERY_MS } from './policy.js';
import {
  ALWAYS_THERE,
  backOffAfter,
  haveLasted,
  healthOf,
  isToBeReplaced,
  NO_BACK_OFF,
  seen,
  type BackOff,
  type ReplacementPolicy,
  type Watched,
} from './replacement.js';
import { SignalReader, withPlace } from './signals.js';

/** A change of the number of instances of one part, and when it was done: out when the new one takes requests, in when the old one gets none. */
export interface Change {
  readonly pool: Pool;
  readonly decision: Decision;
  /** Wall clock, as the load's own seconds are. */
  readonly decidedWallMs: number;
  readonly doneWallMs: number;
}

/** How many instances of a part took requests from some moment on; one that is unhealthy counts until it is replaced. */
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
  /** Default: that of the elasticity runs. */
  readonly replacement?: ReplacementPolicy;
}

interface Look {
  readonly signals: readonly InstanceSignals[];
  readonly places: ReadonlyMap<string, BalancerSlot>;
}

interface ScaledPart {
  readonly pool: Pool;
  readonly read: (instances: readonly Instance[]) => Promise<InstanceSignals[]>;
  state: ScalingState;
  /** How many there are to be, by what was decided. Fewer serve and start when one was lost and its replacement has to wait. */
  desired: number;
  starting: number;
  isAsking: boolean;
  /** The last look told nothing. */
  isBlind: boolean;
  /** By name; who is here and serves no more was lost. */
  readonly watched: Map<string, Watched>;
  backOff: BackOff;
}

/**
 * Drives a fleet by the decisions on their live signals: each part by itself, once a second, and a line for each decision in a file. What ends by itself, does not start or is
 * unhealthy for too long is replaced without a decision, as a ReplicaSet does it, and later each time where what comes does not last. A look that nobody answered in time is a line
 * too, and no decision. A change that is under way is waited for at `stop`.
 */
export class Autoscaling {
  readonly changes: Change[] = [];
  readonly supply: Supply[] = [];
  /** Of changes, each instance that was lost, and the first of looks in a row that told nothing, in a sentence. */
  readonly failures: string[] = [];
  readonly #fleet: Fleet;
  readonly #policy: ScalingPolicy;
  readonly #replacement: ReplacementPolicy;
  readonly #file: string;
  readonly #clock: Clock;
  readonly #parts: readonly ScaledPart[];
  readonly #underWay = new Set<Promise<unknown>>();
  #timer: Disposable | undefined;
  #isOver = false;

  constructor(fleet: Fleet, policy: ScalingPolicy, pools: readonly Pool[], options: AutoscalingOptions) {
    const { file, clock = systemClock, read, replacement = REPLACEMENT } = options;
    this.#fleet = fleet;
    this.#policy = policy;
    this.#replacement = replacement;
    this.#file = file;
    this.#clock = clock;
    this.#parts = pools.map((pool) => {
      const reader = new SignalReader(CPUS_AN_INSTANCE, () => clock.nowMs(), SIGNALS_EVERY_MS * 0.9);
      const watched = new Map(fleet.serving(pool).map(({ name }) => [name, ALWAYS_THERE]));
      return {
        pool,
        read: read ?? ((instances) => reader.read(instances)),
        state: NOTHING_DECIDED,
        desired: watched.size,
        starting: 0,
        isAsking: false,
        isBlind: false,
        watched,
        backOff: NO_BACK_OFF,
      };
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
      this.#loseWhatEnded(part);
      this.#startWhatIsMissing(part);
      // Of the same moment: one that comes to serve while the signals are read is still among those that start.
      const [instances, { starting, desired }] = [this.#fleet.serving(part.pool), part];
      const look = await this.#read(part, instances).catch((error: unknown) => this.#miss(part, error));
      if (!look || this.#isOver) return;
      part.isBlind = false;
      this.#decide(part, instances, look, { starting, waiting: Math.max(0, desired - instances.length - starting) });
    } finally {
      part.isAsking = false;
    }
  }

  async #read({ pool, read }: ScaledPart, instances: readonly Instance[]): Promise<Look> {
    if (pool !== SCALED_ARMS[this.#fleet.arm].edge) return { signals: await read(instances), places: new Map() };
    const [signals, places] = await Promise.all([read(instances), this.#fleet.places(LOOK_MS_MAX)]);
    return { signals: signals.map((own, i) => withPlace(own, places.get(instances[i]!.name))), places };
  }

  /** That nobody said how they are is not that nobody is there, nor that nobody is well: who was down may have been well meanwhile, and has its grace again. */
  #miss(part: ScaledPart, error: unknown): void {
    for (const [name, watched] of part.watched) part.watched.set(name, { ...watched, downSinceMs: undefined });
    const why = `no look at the ${part.pool}s, and so no decision: ${String(error)}`;
    if (!part.isBlind) this.failures.push(why);
    part.isBlind = true;
    this.#record(part.pool, { kind: 'missed', why, atMs: this.#clock.nowMs() });
  }

  #decide(part: ScaledPart, instances: readonly Instance[], { signals, places }: Look, those: { starting: number; waiting: number }): void {
    const nowMs = this.#clock.nowMs();
    const healths = instances.map(({ name }) => {
      const place = places.get(name);
      const watched = seen(part.watched.get(name), place !== undefined && isDown(place), nowMs);
      part.watched.set(name, watched);
      return healthOf(this.#replacement, watched, nowMs);
    });
    const serving = signals.filter((_, i) => healths[i] === 'serving');
    const starting = those.starting + healths.filter((health) => health === 'starting').length;
    const unhealthy = instances.flatMap(({ name }, i) => (healths[i] === 'unhealthy' ? [name] : []));
    const absent = those.waiting + unhealthy.length;
    const { decision, state } = decide(this.#policy, part.state, { serving, starting, absent }, nowMs);
    part.state = state;
    this.#record(part.pool, { ...decision, serving, ...(unhealthy.length > 0 && { unhealthy }) });
    const decidedWallMs = this.#clock.wallMs();
    if (decision.kind !== 'none') part.desired = decision.to;
    for (let i = decision.from; i < decision.to; i++) this.#follow(this.#out(part, decision, decidedWallMs));
    for (let i = decision.from; i > decision.to; i--) this.#follow(this.#in(part, decision, decidedWallMs, unhealthy));
    if (decision.kind !== 'in' && starting === 0) this.#replaceUnhealthy(part, unhealthy, nowMs);
    if (starting + absent === 0) this.#forgetFailures(part, nowMs);
  }

  #loseWhatEnded(part: ScaledPart): void {
    const there = new Set(this.#fleet.serving(part.pool).map(({ name }) => name));
    for (const [name, watched] of part.watched)
      if (!there.has(name)) {
        part.watched.delete(name);
        this.#lose(part, watched, `${name} ended without being told to`);
      }
  }

  /**
   * One at a time, when no other starts or may not yet come, and the youngest first: what made one unhealthy may make all so, also those that come instead.
   * As long as it does, it is those that are killed, later and later, and who has served before is left alone.
   */
  #replaceUnhealthy(part: ScaledPart, unhealthy: readonly string[], nowMs: number): void {
    if (part.starting > 0 || nowMs < part.backOff.untilMs) return;
    const youngest = this.#fleet.serving(part.pool).findLast(({ name }) => unhealthy.includes(name));
    const watched = youngest && part.watched.get(youngest.name);
    if (!watched || !isToBeReplaced(this.#replacement, watched, nowMs)) return;
    const seconds = ((nowMs - watched.downSinceMs!) / 1000).toFixed(1);
    part.watched.delete(youngest.name);
    this.#follow(this.#fleet.discard(youngest));
    this.#lose(part, watched, `${youngest.name} was killed, as the balancer's checks had not reached it for ${seconds} s`);
    this.#startWhatIsMissing(part);
  }

  /** There is one fewer than is to be. If it did not last, what comes instead waits. */
  #lose(part: ScaledPart, lost: Watched, what: string): void {
    const nowMs = this.#clock.nowMs();
    part.backOff = backOffAfter(this.#replacement, part.backOff, lost, nowMs);
    const { failures, untilMs } = part.backOff;
    const waits = `; ${failures} in a row did not last, so the next starts in ${((untilMs - nowMs) / 1000).toFixed(1)} s`;
    const why = untilMs > nowMs ? `${what}${waits}` : what;
    this.failures.push(why);
    this.#note(part.pool);
    this.#record(part.pool, { kind: 'lost', why, atMs: nowMs });
  }

  #startWhatIsMissing(part: ScaledPart): void {
    const nowMs = this.#clock.nowMs();
    const there = this.#fleet.serving(part.pool).length + part.starting;
    const missing = part.desired - there;
    if (missing <= 0 || nowMs < part.backOff.untilMs) return;
    const why = `${missing} ${part.pool} fewer than there are to be: ${there} to ${part.desired}`;
    this.#record(part.pool, { kind: 'replace', from: there, to: part.desired, why, atMs: nowMs });
    for (let i = 0; i < missing; i++) this.#follow(this.#add(part));
  }

  #forgetFailures(part: ScaledPart, nowMs: number): void {
    if (part.backOff.failures === 0 || !haveLasted(this.#replacement, part.watched.values(), nowMs)) return;
    part.backOff = NO_BACK_OFF;
    this.#record(part.pool, { kind: 'forgotten', why: 'all have lasted: the next that is lost is replaced at once', atMs: nowMs });
  }

  async #out(part: ScaledPart, decision: Decision, decidedWallMs: number): Promise<void> {
    const isThere = await this.#add(part);
    if (isThere) this.changes.push({ pool: part.pool, decision, decidedWallMs, doneWallMs: this.#clock.wallMs() });
  }

  /** @returns whether it came; if not, it is lost, and replaced in its time */
  async #add(part: ScaledPart): Promise<boolean> {
    const startedMs = this.#clock.nowMs();
    part.starting++;
    try {
      const { name } = await this.#fleet.add(part.pool);
      part.watched.set(name, { startedMs, cameMs: this.#clock.nowMs() });
      this.#note(part.pool);
      return true;
    } catch (error) {
      this.#lose(part, { startedMs, cameMs: this.#clock.nowMs() }, String(error));
      return false;
    } finally {
      part.starting--;
    }
  }

  /** Who is unhealthy goes first; else the youngest: those that are older have warmer caches. */
  async #in(part: ScaledPart, decision: Decision, decidedWallMs: number, unhealthy: readonly string[]): Promise<void> {
    const serving = this.#fleet.serving(part.pool);
    const leaver = serving.find(({ name }) => unhealthy.includes(name)) ?? serving.at(-1);
    // One has ended by itself since the signals were read, or was not yet started anew: there are as few as there are to be.
    if (!leaver || serving.length <= decision.to) return;
    part.watched.delete(leaver.name);
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

  #follow(work: Promise<unknown>): void {
    const followed = work.catch((error: unknown) => void this.failures.push(String(error)));
    this.#underWay.add(followed);
    void followed.finally(() => this.#underWay.delete(followed));
  }
}
