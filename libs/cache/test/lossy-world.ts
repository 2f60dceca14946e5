import type { Clock } from '@diptych/kernel';
import { Lifetime, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import type { Position, ReadReply } from '@diptych/log';
import { expect } from 'vitest';
import { CoherentCache } from '../src/engine/coherent-cache.js';
import type { Weather } from './lossy-way.js';
import { CALM, LossyWay } from './lossy-way.js';
import { ModelLog } from './model-log.js';

export type Step =
  | { readonly do: 'put' | 'delete'; readonly key: number }
  /** `token`: of how many of the newest acknowledged writes the reader knows only the older ones; undefined: it brings none. */
  | { readonly do: 'read'; readonly key: number; readonly token?: number | undefined }
  | { readonly do: 'pass'; readonly ms: number }
  /** The cache's process stands still. `timersFirst`: whether it then looks at its timers before its socket. */
  | { readonly do: 'freeze'; readonly ms: number; readonly timersFirst: boolean }
  | { readonly do: 'weather'; readonly weather: Weather }
  | { readonly do: 'restart' | 'compact' | 'purge' };

const BOUNDS = { entriesMax: 3, bytesMax: 1_600, flightsMax: 3, flightTimeoutMs: 1_500, maxStaleMs: 1_000 } as const;
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];
const TICK_MS = 20;

/** What a key was at some time: since when, and which revision says so. */
interface State {
  readonly position: Position;
  /** Of all histories together: grows with each commit and each restart. */
  readonly order: number;
  readonly sinceMs: number;
  readonly value: string | undefined;
}

/**
 * A log, a cache that follows it, and between them a way that loses, delays, repeats and reorders, on two clocks that show different times. It plays
 * steps, and holds every answer of the cache against what the log was.
 */
export class LossyWorld {
  /** The log's, and the observer's. */
  readonly #clock = new FakeClock({ nowMs: 1_000 });
  /** The cache's. Another process: another zero, and a wall clock that is wrong. */
  readonly #cacheClock: FakeClock;
  readonly #log: ModelLog;
  readonly #way: LossyWay;
  readonly #lifetime = new Lifetime('world');
  readonly #random: () => number;
  #cache!: CoherentCache;
  readonly #history = new Map<string, State[]>(KEYS.map((key) => [key, []]));
  #tokens: Position[] = [];
  /** Incarnations, oldest first. */
  readonly #histories: string[] = [];
  #order = 0;
  #reads: Array<Promise<void>> = [];
  /** By key: the newest state that an answer has shown. */
  readonly #shown = new Map<string, number>();
  readonly tally = { reads: 0, answers: 0, stale: 0, hits: 0, refusals: 0 };

  private constructor(random: () => number, skewMs: number) {
    this.#random = random;
    this.#cacheClock = new FakeClock({ nowMs: 7_000_000, wallMs: Date.UTC(2026, 0, 1) + skewMs });
    this.#log = new ModelLog({ clock: this.#clock, delivery: 'best-effort' });
    this.#way = new LossyWay(this.#log, this.#clock, random);
  }

  /** @param skewMs how far the cache's wall clock is ahead of the log's */
  static async open(random: () => number, skewMs: number): Promise<LossyWorld> {
    const world = new LossyWorld(random, skewMs);
    for (const key of KEYS) world.#note(key, undefined);
    const { lifetime, clock } = { lifetime: world.#lifetime, clock: world.#cacheClock as Clock };
    const opening = CoherentCache.open(world.#way.port(), { lifetime, clock, ...BOUNDS });
    await world.#settle();
    world.#cache = await opening;
    return world;
  }

  async play(step: Step): Promise<void> {
    switch (step.do) {
      case 'put':
      case 'delete':
        return this.#write(KEYS[step.key]!, step.do);
      case 'read':
        return this.#read(KEYS[step.key]!, step.token);
      case 'pass':
        return this.#pass(step.ms);
      case 'freeze':
        return this.#freeze(step.ms, step.timersFirst);
      case 'weather':
        this.#way.weather = step.weather;
        return;
      case 'restart':
        this.#order++;
        this.#log.restart();
        for (const key of KEYS) this.#note(key, undefined);
        this.#tokens = [];
        return;
      case 'compact':
        return this.#log.compact();
      case 'purge':
        await this.#cache.purge({}, within(1_000, { clock: this.#cacheClock }));
    }
  }

  /** The way is whole again: soon memory answers, and truly; then all ends, and nothing is left. */
  async heal(): Promise<void> {
    this.#way.weather = CALM;
    await this.#pass(3_000);
    await Promise.all(this.#reads);
    for (const [number, key] of KEYS.entries()) {
      const { hits, stale } = this.tally;
      for (let i = 0; i < 2; i++) {
        this.#read(key, undefined);
        await this.#pass(TICK_MS);
      }
      expect(this.tally.stale, `key ${number} after all was healed`).toBe(stale);
      expect(this.tally.hits, `key ${number} is answered from memory after all was healed`).toBeGreaterThan(hits);
    }
    await this.#lifetime.close();
    await this.#settle();
    expect([this.#cacheClock.pending, this.#log.listeners, this.#cache.flights], 'timers, subscriptions, flights left').toEqual([0, 0, 0]);
  }

  #write(key: string, kind: 'put' | 'delete'): void {
    const value = kind === 'put' ? `${key}${++this.#order}`.padEnd(1 + Math.floor(this.#random() * 40), '.') : undefined;
    this.#tokens.push(value === undefined ? this.#log.delete(key) : this.#log.put(key, value));
    this.#note(key, value);
  }

  #note(key: string, value: string | undefined): void {
    const { incarnation } = this.#log.head;
    if (this.#histories.at(-1) !== incarnation) this.#histories.push(incarnation);
    this.#history.get(key)!.push({ position: this.#log.head, order: ++this.#order, sinceMs: this.#clock.nowMs(), value });
  }

  #read(key: string, tokenAge: number | undefined): void {
    const token = tokenAge === undefined ? undefined : this.#tokens[Math.max(0, this.#tokens.length - 1 - tokenAge)];
    const startedMs = this.#clock.nowMs();
    const least = this.#shown.get(key) ?? 0;
    this.tally.reads++;
    const answered = this.#cache.get({ key, token }, within(2_000, { clock: this.#cacheClock })).then(
      (reply) => {
        this.tally.answers++;
        if (reply.hit) this.tally.hits++;
        this.#judge(key, reply, { token, startedMs, least });
      },
      ({ code }: { code: string }) => {
        this.tally.refusals++;
        expect(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'OVERLOADED']).toContain(code);
      },
    );
    this.#reads.push(answered);
    // A failed assertion is thrown where the reads are awaited; nobody else shall be told first.
    answered.catch(() => undefined);
  }

  #judge(
    key: string,
    { entry, asOf, hit }: ReadReply & { hit: boolean },
    read: { token?: Position | undefined; startedMs: number; least: number },
  ): void {
    const history = this.#history.get(key)!;
    const what = `${key} as of ${asOf.incarnation.replace(/^a*/, '')}.${asOf.revision}, ${hit ? 'from memory' : 'from the log'}`;
    // No value from the future, and none that is not what the log said at that revision.
    const at = history.findLastIndex(({ position }) => position.incarnation === asOf.incarnation && position.revision <= asOf.revision);
    expect(at, `${what}: a state the log had`).toBeGreaterThanOrEqual(0);
    const shown = history[at]!;
    expect(entry && Buffer.from(entry.value).toString(), what).toBe(shown.value);
    if (entry) expect(entry.revision, what).toBe(shown.position.revision);
    // Never older than allowed.
    const newer = history[at + 1];
    if (newer && newer.sinceMs < read.startedMs) {
      this.tally.stale++;
      expect(read.startedMs - newer.sinceMs, `${what}: for how long it had been stale`).toBeLessThanOrEqual(BOUNDS.maxStaleMs);
    }
    // With a token never older than that.
    if (read.token) {
      expect(this.#histories.indexOf(asOf.incarnation), `${what}: a token`).toBeGreaterThanOrEqual(
        this.#histories.indexOf(read.token.incarnation),
      );
      // Memory may show an older state, which the key was still in at the token's time.
      if (newer?.position.incarnation === read.token.incarnation)
        expect(newer.position.revision, `${what}: a token of ${read.token.revision}`).toBeGreaterThan(read.token.revision);
    }
    // Nobody who begins after another was answered is shown less than that one: no delete comes back.
    expect(shown.order, `${what}: was shown newer before`).toBeGreaterThanOrEqual(read.least);
    this.#shown.set(key, Math.max(this.#shown.get(key) ?? 0, shown.order));
  }

  async #pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= TICK_MS) {
      this.#tick(Math.min(TICK_MS, left));
      if (!this.#way.isFrozen) {
        this.#cacheClock.advance(Math.min(TICK_MS, left));
        this.#checkBounds();
      }
      await this.#settle();
    }
    await this.#failures();
  }

  async #freeze(ms: number, timersFirst: boolean): Promise<void> {
    this.#way.freeze();
    await this.#pass(ms);
    const readSocket = this.#way.thaw();
    // Time has gone on for it all the same; only what it looks at first is open. A timer set last that is due first comes before all others.
    if (!timersFirst) this.#cacheClock.after(0, readSocket);
    this.#cacheClock.stall(ms);
    if (timersFirst) readSocket();
    await this.#settle();
  }

  #sinceBeaconMs = 0;
  #tick(ms: number): void {
    this.#clock.advance(ms);
    if ((this.#sinceBeaconMs += ms) < 100) return;
    this.#sinceBeaconMs = 0;
    this.#log.beacon();
  }

  #checkBounds(): void {
    const { entries, bytes } = this.#cache.counts();
    expect(entries).toBeLessThanOrEqual(BOUNDS.entriesMax);
    expect(bytes).toBeLessThanOrEqual(BOUNDS.bytesMax);
    expect(this.#cache.flights).toBeLessThanOrEqual(BOUNDS.flightsMax);
    // One of the wheel, one of the follower's watch, one of its pause.
    expect(this.#cacheClock.pending).toBeLessThanOrEqual(3);
  }

  /** A broken promise is reported where it broke. */
  async #failures(): Promise<void> {
    const open = Symbol('open');
    const still: Array<Promise<void>> = [];
    for (const read of this.#reads) if ((await Promise.race([read, Promise.resolve(open)])) === open) still.push(read);
    this.#reads = still;
  }

  async #settle(): Promise<void> {
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}
