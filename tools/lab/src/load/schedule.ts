import type { Capability } from '../dependency-table.js';
import { keyChooser, type KeyChooser, type KeySpec } from './keys.js';
import { seededRandom } from './random.js';

/** What a stream of requests does. A read is scored as hit or miss by what its keys are chosen to be. */
export interface Stream {
  readonly capability: Capability;
  readonly share: number;
  readonly keys: KeySpec;
}

/** All that a run of load is: plain JSON, so that it can be sent to another process and written to a manifest. */
export interface LoadPlan {
  /** Begins the name of each operation, so that the values it writes are told from those of every other plan for the same arm. */
  readonly id: string;
  readonly baseUrl: string;
  readonly seed: number;
  readonly seconds: number;
  readonly ratePerSecond: number;
  /** Where the rate is not the same throughout: stretches one after the other instead of `ratePerSecond`, which is then the largest of them; the last one goes on. */
  readonly rates?: readonly RateStretch[] | undefined;
  readonly streams: readonly Stream[];
  readonly valueBytes: number;
  /** A request without an answer by then is bad, and enters the percentiles at this value. */
  readonly timeoutMs: number;
  /** Sockets at most; also the bound of requests in flight. One more is bad: it is never sent. */
  readonly connections: number;
  /**
   * `open`: requests leave when the schedule says so, whatever became of earlier ones. `closed`: each connection sends its next
   * request when the one before is answered; kept to show what that hides.
   */
  readonly mode: 'open' | 'closed';
  /** Where the history goes, a line an operation, compressed with gzip; none when undefined. */
  readonly historyFile?: string | undefined;
  /** Tells of each stretch of so many seconds as soon as it is over (open loop only); undefined: of none. */
  readonly windowSeconds?: number | undefined;
}

export interface RateStretch {
  readonly seconds: number;
  readonly ratePerSecond: number;
}

export interface Schedule {
  readonly length: number;
  /** Milliseconds since the start of the run, ascending. */
  readonly atMs: Float64Array;
  /** Index into `streams`. */
  readonly stream: Uint8Array;
  /** Index of the stream's key. */
  readonly key: Uint32Array;
  readonly choosers: readonly KeyChooser[];
}

/** Poisson arrivals: gaps are exponential and independent of everything else. The whole schedule is fixed before the first request. */
export function poissonSchedule(plan: LoadPlan): Schedule {
  const gaps = seededRandom(plan.seed, 'arrivals');
  const kinds = seededRandom(plan.seed, 'kinds');
  const choosers = plan.streams.map(({ keys }, i) => keyChooser(keys, plan.seed, String(i)));
  const times: number[] = [];
  const after = arrivals(plan);
  for (let at = after(0, gaps.unit()); at < plan.seconds * 1000; at = after(at, gaps.unit())) times.push(at);
  const stream = new Uint8Array(times.length);
  const key = new Uint32Array(times.length);
  const total = plan.streams.reduce((sum, { share }) => sum + share, 0);
  for (let i = 0; i < times.length; i++) {
    let left = kinds.unit() * total;
    let chosen = 0;
    while (chosen < plan.streams.length - 1 && (left -= plan.streams[chosen]!.share) >= 0) chosen++;
    stream[i] = chosen;
    key[i] = choosers[chosen]!.next();
  }
  return { length: times.length, atMs: Float64Array.from(times), stream, key, choosers };
}

/** When the next request comes after one, by a uniform draw. With stretches, the exponential draw is used up at the rate of each (time rescaling, Lewis and Shedler 1979). */
function arrivals({ ratePerSecond, rates }: LoadPlan): (atMs: number, unit: number) => number {
  if (!rates) return (atMs, unit) => atMs + exponential(unit, ratePerSecond);
  let endMs = 0;
  const stretches = rates.map(({ seconds, ratePerSecond }) => ({ endMs: (endMs += seconds * 1000), ratePerSecond }));
  return (atMs, unit) => {
    let [at, left] = [atMs, exponential(unit, 1)];
    for (const { endMs, ratePerSecond } of stretches.slice(0, -1)) {
      if (at >= endMs) continue;
      if (left <= (endMs - at) * ratePerSecond) return at + left / ratePerSecond;
      left -= (endMs - at) * ratePerSecond;
      at = endMs;
    }
    return at + left / stretches.at(-1)!.ratePerSecond;
  };
}

function exponential(unit: number, ratePerSecond: number): number {
  return (-Math.log(1 - unit) / ratePerSecond) * 1000;
}
