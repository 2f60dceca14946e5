import { DiptychError, Lifetime, systemClock, within } from '@diptych/kernel';
import { logPort } from '@diptych/log';
import { loopback } from '@diptych/messaging';
import { DEFAULT_GUARDS, guard } from '@diptych/resilience';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { cachePort } from '../src/cache.wire.js';
import { CoherentCache } from '../src/engine/coherent-cache.js';
import { ModelLog } from './model-log.js';

const { retry, breaker, bulkhead } = DEFAULT_GUARDS;
let lifetime: Lifetime;
beforeEach(() => void (lifetime = new Lifetime('test')));
afterEach(() => lifetime.close());

/*
 * Claim: when the log does not answer, only the log's circuit opens. The cache goes on to answer what it holds, though nearly all it is
 * asked for are misses, and nobody repeats in two layers.
 */
it('a log that is away opens the circuit to the log and not the one to the cache: hits are served all the time', async () => {
  const log = new ModelLog({ delivery: 'synchronous' });
  log.put('held', 'value');
  let reads = 0;
  let away = false;
  const read = log.read.bind(log);
  log.read = (request, context) => {
    reads++;
    return away ? Promise.reject(new DiptychError('UNAVAILABLE', 'the log is away')) : read(request, context);
  };
  const options = { entriesMax: 100, bytesMax: 1_000_000, maxStaleMs: 60_000, flightTimeoutMs: 5_000, flightsMax: 1_000 };
  const guards = { retry, breaker: { ...breaker, openMs: 60_000 }, bulkhead };
  const engine = await CoherentCache.open(guard(logPort, log, { ...guards, except: ['committed'] }), { lifetime, ...options });
  const cache = guard(cachePort, loopback(cachePort, engine), guards);

  expect(await cache.get({ key: 'held' }, within(5_000))).toMatchObject({ hit: false });
  away = true;
  const misses = 400;
  const codes = new Set<string>();
  for (let n = 0; n < misses; n++) {
    const miss = await cache.get({ key: `miss-${n}` }, within(5_000)).catch((error: unknown) => error);
    expect(miss).toMatchObject({ part: 'log' });
    codes.add((miss as DiptychError).code);
    expect(await cache.get({ key: 'held' }, within(5_000)), `after ${n} misses`).toMatchObject({ hit: true });
  }
  expect([...codes].sort()).toEqual(['CIRCUIT_OPEN', 'UNAVAILABLE']);
  // As many as it takes to open the circuit, and the repeats of those.
  expect(reads).toBeLessThan(1 + breaker.callsMin + retry.budget.minimum + 5);
});

it('so does a log that hangs: deadlines that pass say whose failure they are before they do', async () => {
  const log = new ModelLog({ delivery: 'synchronous' });
  log.put('held', 'value');
  const options = { entriesMax: 100, bytesMax: 1_000_000, maxStaleMs: 60_000, flightTimeoutMs: 5_000, flightsMax: 1_000 };
  const engine = await CoherentCache.open(log, { lifetime, ...options });
  const cache = guard(cachePort, loopback(cachePort, engine), { breaker: { ...breaker, patienceMs: 100, openMs: 60_000 } });
  expect(await cache.get({ key: 'held' }, within(5_000))).toMatchObject({ hit: false });

  log.holdReads = true;
  const misses = [];
  // One after the other, so that a pause of a busy machine does not meet the ends of all of them.
  for (let n = 0; n < 3 * breaker.callsMin; n++) {
    misses.push(cache.get({ key: `miss-${n}` }, within(400)).catch((error: unknown) => error));
    await new Promise<void>((resolve) => systemClock.after(10, resolve));
  }
  const errors = (await Promise.all(misses)) as DiptychError[];
  expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['DEADLINE_EXCEEDED']));
  expect(errors.filter(({ part }) => part === 'log').length).toBeGreaterThan(errors.length / 2);
  expect(await cache.get({ key: 'held' }, within(5_000))).toMatchObject({ hit: true });
});
