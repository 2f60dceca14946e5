import { DiptychError, within } from '@diptych/kernel';
import { describe, expect, it } from 'vitest';
import { probe, probePort } from '../test/probe-port.js';
import type { WatchedGuards } from './guard-watch.js';
import { shed } from './shed.js';

describe('shed', () => {
  it('refuses what is over the limit of a method at once, and takes more when something is done, well or not', async () => {
    const watched: WatchedGuards[] = [];
    const running: Array<PromiseWithResolvers<{ n: number }>> = [];
    const part = probe(() => {
      const work = Promise.withResolvers<{ n: number }>();
      running.push(work);
      return work.promise;
    });
    const port = shed(probePort, part, { inFlightMax: 2, metrics: { add: (guards) => void watched.push(guards) } });
    const call = (method: 'get' | 'add' = 'get') => port[method]({ n: 1 }, within(1_000)).catch((error: unknown) => error);
    const [answered, failing] = [call(), call()];
    expect(await call()).toMatchObject({ code: 'OVERLOADED', definite: true, retryAfterMs: 100 });
    void call('add');
    expect(running.length, 'each method has a limit of its own').toBe(3);
    running[0]!.resolve({ n: 1 });
    running[1]!.reject(new DiptychError('CONFLICT', 'no'));
    expect(await answered).toEqual({ n: 1 });
    expect(await failing).toMatchObject({ code: 'CONFLICT' });
    expect(watched[0]).toMatchObject({ caller: 'any', port: 'probe', method: 'get', shedder: { inFlight: 0, refusals: 1 } });
    void call();
    expect(running.length).toBe(4);
  });

  it('a method that throws at once takes no place', () => {
    const part = {
      ...probe(async ({ n }) => ({ n })),
      get: () => {
        throw new RangeError('at once');
      },
    };
    const port = shed(probePort, part, { inFlightMax: 1 });
    for (let i = 0; i < 3; i++) expect(() => port.get({ n: 1 }, within(1_000))).toThrow('at once');
  });

  it('lets topics through', async () => {
    const part = probe(async ({ n }) => ({ n }));
    using subscription = await shed(probePort, part, { inFlightMax: 1 }).news(() => undefined);
    expect(subscription.delivery).toBe('synchronous');
  });
});
