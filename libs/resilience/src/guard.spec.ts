import { DiptychError, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { probe, probePort } from '../test/probe-port.js';
import { guardMetrics } from './guard-metrics.js';
import { DEFAULT_GUARDS } from './guard-options.js';
import { guard } from './guard.js';
import { shed } from './shed.js';

const { retry, breaker, bulkhead } = DEFAULT_GUARDS;
const gone = () => new DiptychError('UNAVAILABLE', 'gone');

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

describe('guard', () => {
  it('gives the port itself when all guards are off', () => {
    const port = probe(async ({ n }) => ({ n }));
    expect(guard(probePort, port, {})).toBe(port);
  });

  it('lets topics and excepted methods through as they are', async () => {
    let attempts = 0;
    const port = probe(async () => {
      attempts++;
      throw gone();
    });
    const guarded = guard(probePort, port, { retry, breaker, bulkhead, except: ['get'] });
    await expect(guarded.get({ n: 1 }, within(1_000))).rejects.toMatchObject({ code: 'UNAVAILABLE', part: undefined });
    expect(attempts).toBe(1);
    using subscription = await guarded.news(() => undefined);
    expect(subscription.delivery).toBe('synchronous');
  });

  it('says whose failure it is even where nothing is repeated or counted', async () => {
    const port = guard(
      probePort,
      probe(() => Promise.reject(gone())),
      { bulkhead },
    );
    await expect(port.get({ n: 1 }, within(1_000))).rejects.toMatchObject({ code: 'UNAVAILABLE', part: 'probe' });
  });

  /** The order of the guards, seen from outside. */
  describe('composed', () => {
    it('asks the breaker at each attempt: a circuit that opens ends the repeats', async () => {
      const clock = new FakeClock();
      let attempts = 0;
      const port = probe(async () => {
        attempts++;
        throw gone();
      });
      const guarded = guard(probePort, port, { retry, breaker: { ...breaker, callsMin: 2 }, clock });
      const call = guarded.get({ n: 1 }, within(5_000, { clock }));
      call.catch(() => undefined);
      await clock.advanceAsync(500);
      await expect(call).rejects.toMatchObject({ code: 'CIRCUIT_OPEN' });
      expect(attempts).toBe(2);
    });

    it('holds no place in the bulkhead while it waits to try again', async () => {
      const clock = new FakeClock();
      const order: number[] = [];
      const port = probe(async ({ n }) => {
        order.push(n);
        if (n === 1 && order.length === 1) throw new DiptychError('OVERLOADED', 'later', { retryAfterMs: 100 });
        return { n };
      });
      const guarded = guard(probePort, port, { retry, bulkhead: { concurrentMax: 1, queueMax: 0 }, clock });
      const first = guarded.get({ n: 1 }, within(5_000, { clock }));
      await clock.advanceAsync(10);
      expect(await guarded.get({ n: 2 }, within(5_000, { clock }))).toEqual({ n: 2 });
      await clock.advanceAsync(200);
      expect(await first).toEqual({ n: 1 });
      expect(order).toEqual([1, 2, 1]);
    });

    it('opens no circuit because its own line is full', async () => {
      const clock = new FakeClock();
      const hanging = Promise.withResolvers<{ n: number }>();
      const port = probe(() => hanging.promise);
      const guarded = guard(probePort, port, { breaker: { ...breaker, callsMin: 1 }, bulkhead: { concurrentMax: 1, queueMax: 1 }, clock });
      const call = () => guarded.get({ n: 1 }, within(5_000, { clock })).catch((error: unknown) => error);
      const taken = [call(), call()];
      for (let n = 0; n < 100; n++) expect(await call()).toMatchObject({ code: 'OVERLOADED' });
      hanging.resolve({ n: 1 });
      expect(await Promise.all(taken)).toEqual([{ n: 1 }, { n: 1 }]);
    });

    it('takes no place in line for what an open circuit refuses', async () => {
      const clock = new FakeClock();
      let behaviour: () => Promise<{ n: number }> = () => Promise.reject(gone());
      const guarded = guard(
        probePort,
        probe(() => behaviour()),
        { breaker: { ...breaker, callsMin: 1 }, bulkhead: { concurrentMax: 1, queueMax: 0 }, clock },
      );
      const call = () => guarded.get({ n: 1 }, within(5_000, { clock })).catch((error: unknown) => error);
      await call();
      clock.advance(breaker.openMs);
      const hanging = Promise.withResolvers<{ n: number }>();
      behaviour = () => hanging.promise;
      const probing = call();
      expect(await call()).toMatchObject({ code: 'CIRCUIT_OPEN' });
      hanging.resolve({ n: 1 });
      expect(await probing).toEqual({ n: 1 });
    });
  });

  it('shows what it does in the metrics', async () => {
    const registry = new Registry();
    const metrics = guardMetrics(registry);
    let failures = 1;
    const part = probe(async ({ n }) => {
      if (failures-- > 0) throw gone();
      return { n };
    });
    const port = guard(probePort, part, { retry, breaker, bulkhead, caller: 'test', metrics });
    shed(probePort, part, { inFlightMax: 1, metrics });
    await port.get({ n: 1 }, within(1_000));
    const page = await registry.metrics();
    expect(page).toMatch(/^diptych_guard_repeats_total\{caller="test",port="probe",method="get"\} 1$/m);
    expect(page).toMatch(/^diptych_guard_repeats_total\{caller="test",port="probe",method="add"\} 0$/m);
    expect(page).toMatch(/^diptych_guard_budget_repeats\{caller="test",port="probe"\} 9$/m);
    expect(page).toMatch(/^diptych_guard_breaker_state\{caller="test",port="probe",method="get"\} 0$/m);
    expect(page).toMatch(/^diptych_guard_refusals_total\{caller="any",port="probe",method="get",guard="shed"\} 0$/m);
    failures = Infinity;
    for (let n = 0; n < breaker.callsMin * 2; n++) await port.add({ n: 1 }, within(1_000)).catch(() => undefined);
    const later = await registry.metrics();
    expect(later).toMatch(/^diptych_guard_breaker_state\{caller="test",port="probe",method="add"\} 2$/m);
    expect(later).toMatch(/^diptych_guard_breaker_openings_total\{caller="test",port="probe",method="add"\} 1$/m);
    expect(later).toMatch(/^diptych_guard_refusals_total\{caller="test",port="probe",method="add",guard="breaker"\} [1-9]/m);
    expect(later).toMatch(/^diptych_guard_refusals_total\{caller="test",port="probe",method="add",guard="budget"\} [1-9]/m);
  });
});
