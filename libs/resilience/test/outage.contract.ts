import { DiptychError, hasCode, within } from '@diptych/kernel';
import type { BindingName } from '@diptych/messaging/testing';
import { describeOverBindings } from '@diptych/messaging/testing';
import { expect, it } from 'vitest';
import { DEFAULT_GUARDS } from '../src/guard-options.js';
import { guard } from '../src/guard.js';
import { shed } from '../src/shed.js';
import { probe, probePort } from './probe-port.js';

const { retry, breaker, bulkhead } = DEFAULT_GUARDS;

/*
 * Claim: with guards, a part that is in trouble is called at most a tenth more often than it is asked, and soon hardly at all; without a
 * budget it would be called three times as often. Method: a part with a planted outage, counted at the part itself, over each binding.
 */
class Part {
  attempts = 0;
  out: DiptychError | undefined;
  readonly port = probe(async ({ n }) => {
    this.attempts++;
    if (this.out) throw this.out;
    return { n };
  });
}

export function outageContract(bindings: readonly BindingName[]): void {
  const parts: Part[] = [];
  const create = () => {
    const part = new Part();
    parts.push(part);
    return Promise.resolve({ implementation: shed(probePort, part.port, DEFAULT_GUARDS.shed) });
  };
  describeOverBindings('guards in an outage', { descriptor: probePort, create, bindings }, (open) => {
    const CALLS = 500;
    const ask = async (port: ReturnType<typeof probe>, calls = CALLS) => {
      const began = performance.now();
      const codes = await Promise.all(
        Array.from({ length: calls }, (_, n) =>
          port.get({ n }, within(5_000)).then(
            () => 'OK',
            (error: unknown) => (error as DiptychError).code,
          ),
        ),
      );
      return { codes, tookMs: performance.now() - began };
    };
    const outOf = (code: 'UNAVAILABLE' | 'CONNECTION_LOST' | 'OVERLOADED' = 'UNAVAILABLE') => new DiptychError(code, 'a planted outage');

    it('without a budget each call is made three times: the storm', async () => {
      const lavish = { ...retry, budget: { ratio: 100, minimum: 10, minimumPerSecond: 1, savedMax: 1e9 } };
      const port = guard(probePort, await open(), { retry: lavish });
      const part = parts.at(-1)!;
      part.out = outOf();
      expect((await ask(port)).codes).toEqual(Array.from({ length: CALLS }, () => 'UNAVAILABLE'));
      expect(part.attempts).toBe(CALLS * 3);
    });

    it.each(['UNAVAILABLE', 'CONNECTION_LOST', 'OVERLOADED'] as const)(
      'with the budget %s makes at most a tenth more, and the minimum',
      async (code) => {
        const port = guard(probePort, await open(), { retry });
        const part = parts.at(-1)!;
        part.out = outOf(code);
        const { codes, tookMs } = await ask(port);
        expect(new Set(codes)).toEqual(new Set([code]));
        const { minimum, minimumPerSecond, ratio } = retry.budget;
        expect(part.attempts).toBeLessThanOrEqual(CALLS * (1 + ratio) + minimum + (tookMs / 1_000) * minimumPerSecond + 1);
        expect(part.attempts).toBeGreaterThan(CALLS);
      },
    );

    it('a lone failure is not seen by its caller', async () => {
      const port = guard(probePort, await open(), { retry, breaker, bulkhead });
      const part = parts.at(-1)!;
      await ask(port, 20);
      part.out = outOf();
      const call = port.get({ n: 7 }, within(5_000));
      const failed = part.attempts;
      while (part.attempts === failed) await new Promise((resolve) => setImmediate(resolve));
      part.out = undefined;
      expect(await call).toEqual({ n: 7 });
    });

    it('the circuit opens, the part is left alone, and is called again soon after it is well', async () => {
      const port = guard(probePort, await open(), { retry, breaker: { ...breaker, openMs: 200 }, bulkhead });
      const part = parts.at(-1)!;
      part.out = outOf();
      await ask(port, 100);
      const before = part.attempts;
      const { codes, tookMs } = await ask(port, 100);
      // More only if the machine is so slow that probes fall due meanwhile.
      const probes = Math.ceil(tookMs / 200);
      expect(codes.filter((code) => code === 'CIRCUIT_OPEN').length).toBeGreaterThanOrEqual(100 - probes);
      expect(part.attempts - before).toBeLessThanOrEqual(probes);
      part.out = undefined;
      const untilMs = performance.now() + 5_000;
      for (;;) {
        const answer = await port.get({ n: 1 }, within(1_000)).catch((error: unknown) => error);
        if (!hasCode(answer, 'CIRCUIT_OPEN')) {
          expect(answer).toEqual({ n: 1 });
          break;
        }
        expect(performance.now()).toBeLessThan(untilMs);
        await new Promise((resolve) => setTimeout(resolve, answer.retryAfterMs));
      }
      expect(new Set((await ask(port, 100)).codes)).toEqual(new Set(['OK']));
    });

    it('a part that only passes on the failure of another keeps its circuit closed, and is not asked twice', async () => {
      const port = guard(probePort, await open(), { retry, breaker, bulkhead });
      const part = parts.at(-1)!;
      part.out = new DiptychError('UNAVAILABLE', 'the one behind is gone', { part: 'behind' });
      expect(new Set((await ask(port)).codes)).toEqual(new Set(['UNAVAILABLE']));
      expect(part.attempts).toBe(CALLS);
    });
  });
}
