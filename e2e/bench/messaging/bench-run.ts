import { profile, seededRandom } from '@diptych/testing';

/** One measured thing of one arm in one round: `callsPerSecond`, `p99Us`, … */
export type Figures = Readonly<Record<string, number>>;

export interface Sample {
  readonly row: string;
  readonly arm: string;
  readonly round: number;
  readonly figures: Figures;
}

/** What a reader needs beside the figures. */
export interface Facts {
  natsServer?: string;
  arrivals?: { readonly ratePerSecond: number; readonly peaksPerSecond: Readonly<Record<string, number>> };
}

/** One arm of one row group: it starts fresh processes, measures and ends them. */
export interface Job {
  readonly arm: string;
  run(round: number): Promise<ReadonlyArray<{ row: string; figures: Figures }>>;
}

/** What a run of the benchmark has and has started. */
export class BenchRun implements AsyncDisposable {
  readonly cores = profile();
  readonly facts: Facts = {};
  readonly #started = new Set<AsyncDisposable>();
  readonly #random: () => number;
  #ended = false;

  constructor(readonly seed: number) {
    this.#random = seededRandom(seed);
  }

  /** Keeps what was started until `end` of it, or the end of the run, whichever comes first. */
  async owned<T extends AsyncDisposable>(starting: Promise<T>): Promise<T> {
    const started = await starting;
    this.#started.add(started);
    if (this.#ended) await this.end(started);
    return started;
  }

  async end(...started: readonly AsyncDisposable[]): Promise<void> {
    for (const each of started) this.#started.delete(each);
    await Promise.all(started.map((each) => each[Symbol.asyncDispose]()));
  }

  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = Math.floor(this.#random() * (i + 1));
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }

  /** Ends all that was started and is not ended. Safe to repeat. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.end(...this.#started);
  }
}
