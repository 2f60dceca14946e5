import type { BalancerSlot } from './balancer.js';
import type { InstanceSignals } from './decide.js';
import type { Instance } from './fleet.js';

/** What is kept of an instance's answer until the next one: counters tell of the time between two. */
interface Reading {
  readonly atMs: number;
  readonly calls: number;
  readonly callSeconds: number;
  readonly cpuSeconds: number;
}

/** The signals of instances, from what they export at `/metrics`. */
export class SignalReader {
  readonly #before = new Map<string, Reading>();
  readonly #nowMs: () => number;
  readonly #timeoutMs: number;
  readonly #cpus: number;

  /** @param cpus that an instance may use @param timeoutMs an instance that has not answered by then says nothing this time */
  constructor(cpus: number, nowMs: () => number, timeoutMs: number) {
    this.#cpus = cpus;
    this.#nowMs = nowMs;
    this.#timeoutMs = timeoutMs;
  }

  /** Asks all of them at once. Never throws: who does not answer is a signal that is missing. */
  read(instances: readonly Instance[]): Promise<InstanceSignals[]> {
    for (const name of this.#before.keys()) if (!instances.some((each) => each.name === name)) this.#before.delete(name);
    return Promise.all(instances.map((instance) => this.#readOne(instance.name, instance.url).catch(() => ({}))));
  }

  async #readOne(name: string, url: string): Promise<InstanceSignals> {
    const answer = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(this.#timeoutMs) });
    if (answer.status !== 200) return {};
    const text = await answer.text();
    const cpuSeconds = sumOf(text, 'process_cpu_user_seconds_total') + sumOf(text, 'process_cpu_system_seconds_total');
    const now: Reading = {
      atMs: this.#nowMs(),
      calls: sumOf(text, `${CALLS}_count`),
      callSeconds: sumOf(text, `${CALLS}_sum`),
      cpuSeconds,
    };
    const before = this.#before.get(name);
    this.#before.set(name, now);
    return signalsOf(text, before, now, this.#cpus);
  }
}

/** Sampled every 10 ms, and that time is in what is exported. */
const LAG_SAMPLE_MS = 10;
const CALLS = 'diptych_port_call_duration_seconds';

/**
 * In flight is Little's law: the time spent in calls over the time that passed. A call within a call of the same instance counts in both. The queueing delay is
 * that of the event loop: how much later than it should a turn came, on average.
 */
export function signalsOf(text: string, before: Reading | undefined, now: Reading, cpus: number): InstanceSignals {
  const own = {
    eventLoopUtilization: sumOf(text, 'nodejs_eventloop_utilization'),
    queueingDelayMs: Math.max(0, sumOf(text, 'nodejs_eventloop_lag_mean_seconds') * 1000 - LAG_SAMPLE_MS),
  };
  const seconds = before === undefined ? 0 : (now.atMs - before.atMs) / 1000;
  if (before === undefined || seconds <= 0) return own;
  const perSecond = (what: 'callSeconds' | 'calls' | 'cpuSeconds') => (now[what] - before[what]) / seconds;
  return { ...own, cpuShare: perSecond('cpuSeconds') / cpus, inFlight: perSecond('callSeconds'), ratePerSecond: perSecond('calls') };
}

/**
 * What waits for a full instance waits before it, where it cannot count it: behind the balancer, in flight is what the balancer has given it and not got back. What waits for a
 * place is not counted: in an overload that is as much as the balancer lets wait, however large the overload is.
 */
export function withPlace(own: InstanceSignals, place: BalancerSlot | undefined): InstanceSignals {
  return place ? { ...own, inFlight: place.current } : own;
}

/** Over all labels, in the text format of Prometheus; 0 without any. */
export function sumOf(text: string, name: string): number {
  let sum = 0;
  for (const [, value] of text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))) sum += Number(value);
  return sum;
}
