import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { FakeClock } from '@diptych/kernel/testing';
import { tempDir, type TempDir } from '@diptych/testing';
import { Autoscaling } from '../src/scaling/autoscaling.js';
import type { InstanceSignals } from '../src/scaling/decide.js';
import type { Fleet, Instance, Pool } from '../src/scaling/fleet.js';
import { ELASTIC } from '../src/scaling/policy.js';

export const START_MS = 3_000;
export const DRAIN_MS = 500;
/** For hangs only, as the real one's. */
const BALANCER_MS_MAX = 30_000;

/** Replicas that take their time to start and to drain, and that fail and end as they are told; it keeps a journal. */
class MadeUpFleet implements Fleet {
  readonly arm = 'monolith-replicas';
  readonly url = 'http://made.up';
  readonly journal: string[] = [];
  /** Instances from this one on do not start. */
  failsFrom = Infinity;
  /** Those that come end by themselves after so long. */
  livesMs = Infinity;
  /** Those that the balancer's checks do not reach. */
  readonly down = new Set<string>();
  /** The balancer answers nobody. */
  isMute = false;
  readonly #clock: FakeClock;
  readonly #serving: Instance[] = [];
  #named = 0;

  constructor(clock: FakeClock, instances: number) {
    this.#clock = clock;
    for (let i = 0; i < instances; i++) this.#serving.push(this.#next());
  }

  serving(pool: Pool): Instance[] {
    return pool === 'replica' ? [...this.#serving] : [];
  }

  async add(): Promise<Instance> {
    const instance = this.#next();
    this.#write(`${instance.name} starts`);
    await this.#wait(START_MS);
    if (this.#named >= this.failsFrom) throw new Error(`${instance.name} exited (code 2) before it was ready`);
    this.#serving.push(instance);
    this.#write(`${instance.name} serves`);
    if (this.livesMs < Infinity) this.#clock.after(this.livesMs, () => this.end(instance.name));
    return instance;
  }

  async remove(instance: Instance): Promise<void> {
    this.end(instance.name);
    this.#write(`${instance.name} drains`);
    await this.#wait(DRAIN_MS);
    this.#write(`${instance.name} is gone`);
  }

  async discard(instance: Instance): Promise<void> {
    this.end(instance.name);
    this.#write(`${instance.name} is killed`);
  }

  /** By itself: nobody has told it to. */
  end(name: string): void {
    const index = this.#serving.findIndex((each) => each.name === name);
    if (index >= 0) this.#serving.splice(index, 1);
  }

  async places(timeoutMs = BALANCER_MS_MAX) {
    if (this.isMute) {
      await this.#wait(timeoutMs);
      throw new Error(`haproxy: no answer within ${timeoutMs} ms`);
    }
    const placeOf = ({ name, slot = 0 }: Instance) => {
      return { slot, status: this.down.has(name) ? 'DOWN' : 'UP', isWarm: true, current: 0, total: 0 };
    };
    return new Map(this.#serving.map((each) => [each.name, placeOf(each)]));
  }

  endedByThemselves = () => [];
  use = () => Promise.resolve([]);
  cpuMs = () => Promise.resolve(0);
  memoryBytes = () => Promise.resolve(0);
  hold = () => undefined;
  [Symbol.asyncDispose] = () => Promise.resolve();

  #next(): Instance {
    const name = `replica-${++this.#named}`;
    return { name, pool: 'replica', url: `http://${name}`, slot: this.#named };
  }

  /** By the second. */
  #write(what: string): void {
    this.journal.push(`${this.#clock.nowMs() / 1000}: ${what}`);
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(ms, resolve));
  }
}

/** A line of the file of decisions. */
interface Line {
  readonly kind: string;
  readonly from: number;
  readonly to: number;
  readonly why: string;
  readonly atMs: number;
  readonly serving?: readonly InstanceSignals[];
  readonly unhealthy?: readonly string[];
}

type Say = (instances: readonly Instance[], nowMs: number) => InstanceSignals[] | Promise<InstanceSignals[]>;

/** Within a `describe`: gives a function that has the autoscaler drive a made-up fleet by a fake clock and by what its instances say. */
export function drivenInTests() {
  let dir: TempDir;
  let files = 0;
  beforeEach(async () => void (dir = await tempDir()));
  afterEach(() => dir.remove());
  return (instances: number, say: Say) => {
    const clock = new FakeClock();
    const fleet = new MadeUpFleet(clock, instances);
    const file = join(dir.path, `decisions-${++files}.jsonl`);
    const read = async (asked: readonly Instance[]) => say(asked, clock.nowMs());
    const autoscaling = new Autoscaling(fleet, ELASTIC, ['replica'], { file, clock, read });
    autoscaling.start();
    const lines = () =>
      readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Line);
    return {
      clock,
      fleet,
      autoscaling,
      lines,
      /** What was decided, or done without a decision. */
      changed: () => lines().filter(({ kind }) => ['out', 'in', 'replace'].includes(kind)),
      /** No more decisions, and what is under way is done. */
      stop: async () => {
        const stopped = autoscaling.stop();
        await clock.advanceAsync(BALANCER_MS_MAX);
        await stopped;
      },
    };
  };
}

export const all = (signals: InstanceSignals) => (instances: readonly Instance[]) => instances.map(() => signals);
