import type { CallContext, ErrorCode } from '@diptych/kernel';
import { DiptychError, ERROR_TABLE, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { probe, probePort } from '../test/probe-port.js';
import { DEFAULT_GUARDS } from './guard-options.js';
import { guard } from './guard.js';

const { retry } = DEFAULT_GUARDS;
const CODES = Object.keys(ERROR_TABLE) as ErrorCode[];

/** A part that fails with each of `errors` in turn, and then answers. */
function setUp(errors: readonly unknown[], options: Partial<typeof retry> = {}) {
  const clock = new FakeClock();
  const attemptsAtMs: number[] = [];
  const port = guard(
    probePort,
    probe(async ({ n }) => {
      attemptsAtMs.push(clock.nowMs());
      if (attemptsAtMs.length <= errors.length) throw errors[attemptsAtMs.length - 1];
      return { n };
    }),
    { retry: { ...retry, ...options }, clock },
  );
  const settle = async <T>(call: Promise<T>): Promise<T> => {
    call.catch(() => undefined);
    await clock.advanceAsync(2_000);
    return call;
  };
  const context = (timeoutMs = 5_000, signal?: AbortSignal): CallContext => within(timeoutMs, { clock, signal });
  return { clock, port, attemptsAtMs, settle, context };
}

const failed = (code: ErrorCode, options: ConstructorParameters<typeof DiptychError>[2] = {}) =>
  new DiptychError(code, `it is ${code}`, options);

describe('retry', () => {
  it.each(CODES)('after %s does what the table says', async (code) => {
    for (const method of ['get', 'add'] as const)
      for (const definite of [false, true]) {
        const { port, attemptsAtMs, settle, context } = setUp([failed(code, { definite })]);
        const outcome = await settle(port[method]({ n: 1 }, context())).catch((error: unknown) => error);
        const { retry: rule, definite: always } = ERROR_TABLE[code];
        // Whoever has a CIRCUIT_OPEN of this port was refused by the guard itself.
        const again = code !== 'CIRCUIT_OPEN' && (rule === 'backoff' || (rule === 'if-safe' && (method === 'get' || definite || always)));
        expect(attemptsAtMs.length, `${method}, definite ${definite}`).toBe(again ? 2 : 1);
        if (again) expect(outcome).toEqual({ n: 1 });
        else expect(outcome).toMatchObject({ code });
      }
  });

  it('does not repeat what is no error of the table', async () => {
    const { port, attemptsAtMs, settle, context } = setUp([new TypeError('a defect')]);
    await expect(settle(port.get({ n: 1 }, context()))).rejects.toThrow('a defect');
    expect(attemptsAtMs.length).toBe(1);
  });

  it('leaves to the layer below what failed there', async () => {
    const { port, attemptsAtMs, settle, context } = setUp([failed('UNAVAILABLE', { part: 'behind' })]);
    await expect(settle(port.get({ n: 1 }, context()))).rejects.toMatchObject({ code: 'UNAVAILABLE', part: 'behind' });
    expect(attemptsAtMs.length).toBe(1);
  });

  it('says whose failure it was', async () => {
    const { port, settle, context } = setUp([failed('CONFLICT')]);
    await expect(settle(port.get({ n: 1 }, context()))).rejects.toMatchObject({ code: 'CONFLICT', part: 'probe' });
  });

  it('gives up after so many attempts, within tens of milliseconds', async () => {
    const { port, attemptsAtMs, settle, context } = setUp(Array.from({ length: 10 }, () => failed('UNAVAILABLE')));
    await expect(settle(port.get({ n: 1 }, context()))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(attemptsAtMs.length).toBe(3);
    expect(attemptsAtMs[2]! - attemptsAtMs[0]!).toBeLessThan(75);
  });

  it('does not come back before it was told to, and not at all when that is long', async () => {
    const soon = setUp([failed('OVERLOADED', { retryAfterMs: 100 })]);
    expect(await soon.settle(soon.port.get({ n: 1 }, soon.context()))).toEqual({ n: 1 });
    expect(soon.attemptsAtMs[1]).toBeGreaterThanOrEqual(100);
    const late = setUp([failed('OVERLOADED', { retryAfterMs: 1_000 })]);
    await expect(late.settle(late.port.get({ n: 1 }, late.context()))).rejects.toMatchObject({ code: 'OVERLOADED' });
  });

  it('begins no attempt past the deadline, and does not wait for it', async () => {
    const { port, clock, attemptsAtMs, context } = setUp([failed('OVERLOADED', { retryAfterMs: 200 })]);
    await expect(port.get({ n: 1 }, context(150))).rejects.toMatchObject({ code: 'OVERLOADED' });
    expect(clock.nowMs()).toBe(0);
    expect(clock.pending).toBe(0);
    expect(attemptsAtMs.length).toBe(1);
  });

  it('draws each wait over its whole range', async () => {
    const waits: number[] = [];
    for (let run = 0; run < 60; run++) {
      const { port, attemptsAtMs, settle, context } = setUp([failed('UNAVAILABLE')]);
      await settle(port.get({ n: 1 }, context()));
      waits.push(attemptsAtMs[1]!);
    }
    expect(Math.min(...waits)).toBeLessThan(8);
    expect(Math.max(...waits)).toBeGreaterThan(16);
    expect(Math.max(...waits)).toBeLessThan(25);
  });

  it('stops waiting when the caller gives up; definite, if nothing is in doubt', async () => {
    for (const [code, definite] of [
      ['UNAVAILABLE', true],
      ['CONNECTION_LOST', false],
    ] as const) {
      const { port, clock, attemptsAtMs, context } = setUp([failed(code, { retryAfterMs: 100 })]);
      const caller = new AbortController();
      const call = port.get({ n: 1 }, context(5_000, caller.signal));
      call.catch(() => undefined);
      await clock.advanceAsync(50);
      caller.abort(new Error('gone'));
      await expect(call).rejects.toMatchObject({ code: 'CANCELLED', definite, cause: new Error('gone') });
      expect(clock.pending).toBe(0);
      expect(attemptsAtMs.length).toBe(1);
    }
  });

  it('never says that nothing happened once an attempt has ended in doubt', async () => {
    const anyError = fc.record({ code: fc.constantFrom(...CODES), definite: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(anyError, { maxLength: 5 }), async (planned) => {
        const errors = planned.map(({ code, definite }) => failed(code, { definite }));
        const { port, attemptsAtMs, settle, context } = setUp(errors);
        const outcome = await settle(port.get({ n: 1 }, context())).catch((error: unknown) => error);
        const seen = errors.slice(0, attemptsAtMs.length);
        if (outcome instanceof DiptychError && outcome.definite) expect(seen.filter(({ definite }) => !definite)).toEqual([]);
      }),
      { seed: seedFromEnv(), numRuns: 60 },
    );
    const { port, settle, context } = setUp([failed('CONNECTION_LOST'), failed('CONFLICT')]);
    const cause: unknown = expect.objectContaining({ code: 'CONFLICT' });
    await expect(settle(port.get({ n: 1 }, context()))).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      definite: false,
      part: 'probe',
      cause,
    });
  });

  it('makes at most a tenth more attempts than requests, and the minimum, through an outage of everything', async () => {
    const { clock, port, attemptsAtMs, context } = setUp(Array.from({ length: 10_000 }, () => failed('UNAVAILABLE')));
    const calls = Array.from({ length: 2_000 }, (_, n) => port.get({ n }, context()));
    void Promise.allSettled(calls);
    await clock.advanceAsync(1_000);
    expect(attemptsAtMs.length).toBeLessThanOrEqual(2_000 * 1.1 + retry.budget.minimum + 1);
    expect(attemptsAtMs.length).toBeGreaterThan(2_000 * 1.05);
  });
});
