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

  /** Asks all of them at once. Who does not answer is a signal that is missing. @throws Error that names a metric that one who answers does not export */
  read(instances: readonly Instance[]): Promise<InstanceSignals[]> {
    for (const name of this.#before.keys()) if (!instances.some((each) => each.name === name)) this.#before.delete(name);
    return Promise.all(instances.map((instance) => this.#readOne(instance.name, instance.url)));
  }

  async #readOne(name: string, url: string): Promise<InstanceSignals> {
    const text = await this.#metricsOf(url).catch(() => undefined);
    if (text === undefined) return {};
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

  async #metricsOf(url: string): Promise<string | undefined> {
    const answer = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(this.#timeoutMs) });
    return answer.status === 200 ? answer.text() : undefined;
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

/** Over all labels, in the text format of Prometheus; 0 of a metric that has none yet. @throws Error that names a metric that is not there at all */
export function sumOf(text: string, name: string): number {
  const values = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].map(([, value]) => Number(value));
  // A histogram's sums and counts are declared under its own name.
  if (values.length === 0 && !new RegExp(`^# TYPE ${name.replace(/_(sum|count)$/, '')} `, 'm').test(text))
    throw new Error(`there is no metric ${name}`);
  return values.reduce((sum, value) => sum + value, 0);
}
