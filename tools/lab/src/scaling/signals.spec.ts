import { describe, expect, it } from 'vitest';
import { decide, NOTHING_DECIDED } from './decide.js';
import { ELASTIC } from './policy.js';
import { signalsOf, sumOf, withPlace } from './signals.js';

describe('what an instance exports', () => {
  const text = [
    '# TYPE nodejs_eventloop_utilization gauge',
    '# TYPE diptych_port_call histogram',
    'nodejs_eventloop_utilization 0.5',
    'nodejs_eventloop_lag_mean_seconds 0.0125',
    'process_cpu_user_seconds_total 7.25',
    'process_cpu_system_seconds_total 1.25',
    'diptych_port_call_duration_seconds_bucket{le="0.1",port="cache",method="get",code="OK"} 7',
    'diptych_port_call_duration_seconds_sum{port="cache",method="get",code="OK"} 5.5',
    'diptych_port_call_duration_seconds_sum{port="log",method="append",code="OK"} 0.5',
    'diptych_port_call_duration_seconds_count{port="cache",method="get",code="OK"} 300',
    'diptych_port_call_duration_seconds_count{port="log",method="append",code="OK"} 100',
  ].join('\n');

  it('is added up over labels, and only under its own name', () => {
    expect([sumOf(text, 'diptych_port_call_duration_seconds_count'), sumOf(text, 'diptych_port_call')]).toEqual([400, 0]);
  });
  it('is an error where it is not there at all, which names it, and not a nought', () => {
    expect(() => sumOf(text, 'process_cpu_user_seconds')).toThrow('there is no metric process_cpu_user_seconds');
    expect(() => sumOf(text, 'nodejs_eventloop_utilisation')).toThrow('there is no metric nodejs_eventloop_utilisation');
    expect(sumOf(text, 'diptych_port_call_sum')).toBe(0);
  });
  it('gives rate and calls in flight by what was counted since the reading before', () => {
    const before = { atMs: 1_000, calls: 200, callSeconds: 2, cpuSeconds: 8 };
    const signals = signalsOf(text, before, { atMs: 3_000, calls: 400, callSeconds: 6, cpuSeconds: 8.5 }, 0.5);
    expect(signals).toEqual({ eventLoopUtilization: 0.5, cpuShare: 0.5, queueingDelayMs: 2.5, inFlight: 2, ratePerSecond: 100 });
  });
  it('says nothing of what takes two readings at the first', () => {
    expect(Object.keys(signalsOf(text, undefined, { atMs: 1, calls: 400, callSeconds: 6, cpuSeconds: 8.5 }, 0.5))).toEqual([
      'eventLoopUtilization',
      'queueingDelayMs',
    ]);
  });
});

describe('behind the balancer', () => {
  const full = { eventLoopUtilization: 0.5, queueingDelayMs: 2, inFlight: 10, ratePerSecond: 3_700 };
  const place = { slot: 1, status: 'UP', isWarm: true, current: 64, total: 9_000 };

  it('what the balancer has given an instance is under way in it, whatever it counts itself', () => {
    const policy = { ...ELASTIC, outWindowMs: 0 };
    const of = (serving: typeof full) => decide(policy, NOTHING_DECIDED, { serving: [serving], starting: 0, absent: 0 }, 0).decision.to;
    expect([of(full), of(withPlace(full, place) as typeof full)]).toEqual([1, 2]);
  });
  it('one that the balancer does not know says what it knows itself', () => expect(withPlace(full, undefined)).toBe(full));
});
