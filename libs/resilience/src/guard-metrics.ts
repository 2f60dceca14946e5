import type { Registry } from 'prom-client';
import { Counter, Gauge } from 'prom-client';
import type { CircuitName, GuardWatch, WatchedGuards } from './guard-watch.js';

/** What the guards do, in a registry; read when somebody asks for the metrics, so that counting costs a call nothing more. One for a registry. */
export function guardMetrics(registry: Registry): GuardWatch {
  const all: WatchedGuards[] = [];
  const registers = [registry];
  const define = (type: 'counter' | 'gauge', name: string, help: string, labelNames: readonly string[], read: Read) => {
    const metric =
      type === 'counter'
        ? new Counter({ name, help, labelNames, registers, collect })
        : new Gauge({ name, help, labelNames, registers, collect });
    function collect() {
      metric.reset();
      for (const guards of all) {
        const { caller, port, method } = guards;
        for (const [value, more] of read(guards)) {
          if (value === undefined) continue;
          const labels = labelNames.includes('method') ? { caller, port, method, ...more } : { caller, port, ...more };
          // Several methods may share a breaker or a budget.
          if (metric instanceof Gauge) metric.set(labels, value);
          else metric.inc(labels, value);
        }
      }
    }
  };
  const METHOD = ['caller', 'port', 'method'];
  define('counter', 'diptych_guard_repeats_total', 'Calls that were made again after a failure.', METHOD, ({ retry }) => [
    [retry?.repeats],
  ]);
  define('counter', 'diptych_guard_refusals_total', 'What guards did not let through, by guard.', [...METHOD, 'guard'], (guards) => [
    [guards.retry?.repeatsDenied, { guard: 'budget' }],
    [guards.breaker?.refusals, { guard: 'breaker' }],
    [guards.bulkhead?.refusals, { guard: 'bulkhead' }],
    [guards.shedder?.refusals, { guard: 'shed' }],
  ]);
  define('gauge', 'diptych_guard_budget_repeats', 'Repeats that the budget has left.', ['caller', 'port'], ({ budget }) => [
    [budget?.left],
  ]);
  define('gauge', 'diptych_guard_breaker_state', '0 closed, 1 half-open, 2 open.', METHOD, ({ breaker }) => [
    [breaker && STATES.indexOf(breaker.state)],
  ]);
  define('counter', 'diptych_guard_breaker_openings_total', 'Times a circuit opened.', METHOD, ({ breaker }) => [[breaker?.openings]]);
  define('gauge', 'diptych_guard_in_flight', 'Calls under way behind a bulkhead or a shedding limit.', [...METHOD, 'guard'], (guards) => [
    [guards.bulkhead?.inFlight, { guard: 'bulkhead' }],
    [guards.shedder?.inFlight, { guard: 'shed' }],
  ]);
  define('gauge', 'diptych_guard_queued', 'Calls that wait in line at a bulkhead.', METHOD, ({ bulkhead }) => [[bulkhead?.queued]]);
  return { add: (guards) => void all.push(guards) };
}

type Read = (guards: WatchedGuards) => ReadonlyArray<readonly [value: number | undefined, labels?: Record<string, string>]>;

const STATES: readonly CircuitName[] = ['closed', 'half-open', 'open'];
