import { Lifetime, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import type { Position } from '@diptych/log';
import { afterEach, expect } from 'vitest';
import type { CoherentCacheOptions } from '../src/engine/coherent-cache.js';
import { CoherentCache } from '../src/engine/coherent-cache.js';
import { ModelLog } from './model-log.js';

/** Closed after each test, which then fails if a timer or a subscription is left. */
export const closings: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closings.splice(0)) await close();
});

/** A cache before a model log that holds `a` = `one`, on a clock that stands still. */
export async function open(delivery: 'synchronous' | 'best-effort', options: Partial<CoherentCacheOptions> = {}) {
  const clock = new FakeClock({ nowMs: 5_000 });
  const log = new ModelLog({ clock, delivery });
  log.put('a', 'one');
  const lifetime = new Lifetime('test');
  const cache = await CoherentCache.open(log, {
    lifetime,
    clock,
    entriesMax: 100,
    bytesMax: 1_000_000,
    maxStaleMs: 1_000,
    flightTimeoutMs: 5_000,
    flightsMax: 10,
    ...options,
  });
  closings.push(async () => {
    await lifetime.close();
    expect([clock.pending, log.listeners], 'timers and subscriptions left').toEqual([0, 0]);
  });
  const get = (key: string, token?: Position, timeoutMs = 60_000, signal?: AbortSignal) =>
    cache.get({ key, token }, within(timeoutMs, { clock, signal }));
  const text = async (key: string, token?: Position) => {
    const { entry, hit } = await get(key, token);
    return [entry && Buffer.from(entry.value).toString(), hit ? 'hit' : 'read'];
  };
  return { clock, log, lifetime, cache, get, text };
}

/** All promises that can settle have. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
