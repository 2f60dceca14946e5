import { DiptychError } from '@diptych/kernel';
import type { BalancerSlot, Spreading } from './balancer.js';
import type { Throttling } from './cpu-quota.js';

export type ScaledArmName = 'monolith-replicas' | 'services-scaled';
export type Pool = 'replica' | 'gateway' | 'cache' | 'log';

interface ScaledArm {
  readonly spreading: Spreading;
  /** What stands behind the balancer. */
  readonly edge: Pool;
  /** In the order of their start. Those that are not scaled there are one of. */
  readonly pools: ReadonlyArray<{ readonly pool: Pool; readonly isScaled: boolean }>;
  readonly broker: boolean;
}

/** By key, a replica has its part of the keys in a log and a cache of its own; the services have one log, and whoever scales holds nothing that is not there too. */
export const SCALED_ARMS: Readonly<Record<ScaledArmName, ScaledArm>> = {
  'monolith-replicas': {
    spreading: 'by key',
    edge: 'replica',
    pools: [{ pool: 'replica', isScaled: true }],
    broker: false,
  },
  'services-scaled': {
    spreading: 'least busy',
    edge: 'gateway',
    pools: [
      { pool: 'log', isScaled: false },
      { pool: 'cache', isScaled: true },
      { pool: 'gateway', isScaled: true },
    ],
    broker: true,
  },
};

/** Which panel an arm is of, for its colour. */
export const PANEL_OF = { 'monolith-replicas': 'monolith', 'services-scaled': 'services' } as const;

/** Of a core, each instance: gateway, cache, log, replica and broker alike. The balancer has none: both arms have the same one, and what it uses is counted. */
export const CPUS_AN_INSTANCE = 0.25;

/** One that takes requests, whatever it runs in. */
export interface Instance {
  readonly name: string;
  readonly pool: Pool;
  /** Where it is asked for its signals, and whether it is ready. */
  readonly url: string;
  /** Its place at the balancer; undefined: it has none. */
  readonly slot: number | undefined;
}

/** One that ended without being told to. */
export interface EndedByItself {
  readonly name: string;
  readonly pool: Pool;
  /** How it ended, as far as can be told, and the end of what it complained of. */
  readonly how: string;
}

/** What each process of an arm had used at some moment. */
export interface FleetUse {
  readonly name: string;
  readonly pool: Pool | 'broker' | 'balancer';
  /** What it may use; undefined: it has no bound. */
  readonly cpus: number | undefined;
  readonly cpuMs: number;
  readonly throttling: Throttling | undefined;
}

/**
 * A running scaled arm behind a balancer, whose instances come and go; what runs and measures it does not know what they run in. Every process of it but the
 * balancer has its share of a core and no more.
 */
export interface Fleet<Each extends Instance = Instance> extends AsyncDisposable {
  readonly arm: ScaledArmName;
  readonly url: string;
  /** From now on every process but the balancer is held to its share; what is added later is from its first instruction. Safe to repeat. */
  hold(): void;
  /** Those that came to take requests, oldest first; whether the balancer reaches them is in `places`. One that has ended by itself is none of them. */
  serving(pool: Pool): readonly Each[];
  /** Those that ended without being told to, as they were seen to: the others go on without them, so whoever measures has to ask. */
  endedByThemselves(): readonly EndedByItself[];
  /**
   * By name, the places of those that stand behind the balancer, as it sees them now.
   *
   * @throws Error when it has not answered within `timeoutMs`, by default a bound for hangs only
   */
  places(timeoutMs?: number): Promise<ReadonlyMap<string, BalancerSlot>>;
  /** Starts one more and resolves when it takes requests. */
  add(pool: Pool): Promise<Each>;
  /**
   * Takes one out: no new requests, those it has are answered, then it is told to stop and flushes what it holds.
   *
   * @throws INTERNAL when it did not end cleanly
   */
  remove(instance: Each): Promise<void>;
  /** Kills one, which need not answer any more, and forgets it at the balancer: what it had to do is lost. */
  discard(instance: Each): Promise<void>;
  /** What every process has used since it began, never less than the last time; what is gone is in none. */
  use(): Promise<FleetUse[]>;
  /** CPU time of all there is and was, balancer and broker too. */
  cpuMs(): Promise<number>;
  memoryBytes(): Promise<number>;
}

/** How many of each scaled part; one where nothing is said. */
export type Counts = Partial<Record<Pool, number>>;

/** With so many instances of each scaled part, none of them held to its quota yet. @throws Error of what did not start; what had been started is ended */
export type StartFleet = (arm: ScaledArmName, counts: Counts) => Promise<Fleet>;

/**
 * What ended by itself while an arm was measured, in words.
 *
 * @param replaced the parts that the arm may lose instances of: others come instead, or its balancer knows; default: what stands behind that
 * @throws INTERNAL when one of another part ended: without its log, or one of the caches that it was to have, it is another arm
 */
export function crashesOf(
  fleet: Pick<Fleet, 'arm' | 'endedByThemselves'>,
  replaced: readonly Pool[] = [SCALED_ARMS[fleet.arm].edge],
): string[] {
  const ended = fleet.endedByThemselves();
  const words = ended.map(({ name, how }) => `${name} ended by itself: ${how}`);
  if (ended.some(({ pool }) => !replaced.includes(pool))) throw new DiptychError('INTERNAL', words.join('; '));
  return words;
}

/** Who has which of the balancer's places. */
export function placesOf(instances: readonly Instance[], slots: readonly BalancerSlot[]): Map<string, BalancerSlot> {
  return new Map(
    instances.flatMap(({ name, slot }) => {
      const place = slots.find((each) => each.slot === slot);
      return place ? [[name, place] as const] : [];
    }),
  );
}

/** CPU time by name, of which nothing is taken back when a process ends by itself and can no longer be asked: the last that it said counts. */
export class UsedSoFar {
  readonly #saidMs = new Map<string, number>();
  /** By those that are gone. */
  byWhatIsGoneMs = 0;

  /** @param saidMs undefined, or less than before: it can no longer be asked */
  of(name: string, saidMs: number | undefined): number {
    const mostMs = Math.max(this.#saidMs.get(name) ?? 0, saidMs ?? 0);
    this.#saidMs.set(name, mostMs);
    return mostMs;
  }

  /** It goes, or is gone. */
  keep(name: string, saidMs?: number): void {
    this.byWhatIsGoneMs += this.of(name, saidMs);
    this.#saidMs.delete(name);
  }
}

/** Places at the balancer: those that instances hold, and those of instances that come or go. */
export class Places {
  readonly #taken = new Set<number>();

  /** The first that is free. */
  take(): number {
    let slot = 1;
    while (this.#taken.has(slot)) slot++;
    this.#taken.add(slot);
    return slot;
  }

  /** Safe to repeat, and for one that has none. */
  free(slot: number | undefined): void {
    if (slot !== undefined) this.#taken.delete(slot);
  }
}
