import { systemClock, within } from '@diptych/kernel';
import { inProcess, loopback } from '@diptych/messaging';
import { DEFAULT_GUARDS, guard } from '@diptych/resilience';
import { bulkhead, circuitBreaker, ExponentialBackoff, fullJitterGenerator, handleAll, retry, SamplingBreaker, wrap } from 'cockatiel';
import type { IPolicy } from 'cockatiel';
import { median } from '../figures.js';
import { benchPort, TRACEPARENT } from './peers/port.js';
import type { BenchPort } from './peers/port.js';
import { VALUES } from './peers/peer.js';

/**
 * What one call costs that leaves no process: `calls-main.js <variant>`. Its parent asks it how long to measure, and it answers with
 * the median over its batches. Calls of ports make a context each time, as callers do; the bare call and the library know none.
 */
const value = { value: Buffer.from(VALUES.small) };
const request = { key: 'small' };
const implementation: BenchPort = { get: async () => value };
const bare: (request: { key: string }) => Promise<{ value: Uint8Array }> = async () => value;

const variants: Record<string, () => () => Promise<{ value: Uint8Array }>> = {
  bare: () => () => bare(request),
  'in-process': () => ofPort(inProcess(benchPort, implementation)),
  guarded: () => ofPort(guard(benchPort, inProcess(benchPort, implementation), DEFAULT_GUARDS)),
  library: () => {
    const policy = samePolicies();
    return () => policy.execute(() => bare(request));
  },
  loopback: () => ofPort(loopback(benchPort, implementation)),
};

const call = variants[process.argv[2]!]!();
if ((await call()).value.length !== VALUES.small.length) throw new Error(`${process.argv[2]} answers something else; it is disqualified`);
process.on('disconnect', () => process.exit());
process.on('message', ({ warmMs, milliseconds }: { warmMs: number; milliseconds: number }) => {
  void measure(warmMs)
    .then(() => measure(milliseconds))
    .then((usPerCall) => process.send!({ usPerCall }));
});
console.log('ready');

async function measure(milliseconds: number): Promise<number> {
  const batches: number[] = [];
  const startMs = systemClock.nowMs();
  // A machine that is busy lets a process run now and then; the median wants batches, not time.
  const goesOn = (elapsedMs: number) => elapsedMs < milliseconds || (batches.length < BATCHES_MIN && elapsedMs < MILLISECONDS_MAX);
  while (goesOn(systemClock.nowMs() - startMs)) {
    const beganMs = systemClock.nowMs();
    for (let i = 0; i < BATCH; i++) await call();
    batches.push(((systemClock.nowMs() - beganMs) * 1_000) / BATCH);
    // Calls that settle in microtasks let nothing else run: timers and the collector's callbacks get their turn here.
    await new Promise(setImmediate);
  }
  return median(batches);
}

function ofPort(port: BenchPort): () => Promise<{ value: Uint8Array }> {
  return () => port.get(request, within(2_000, { traceparent: TRACEPARENT }));
}

/** What `guard` puts around a port by default, put together from the library's parts as its documentation shows. */
function samePolicies(): IPolicy {
  const { retry: repeats, breaker, bulkhead: places } = DEFAULT_GUARDS;
  const backoff = new ExponentialBackoff({
    generator: fullJitterGenerator,
    initialDelay: repeats.firstWaitMs,
    maxDelay: repeats.waitMsMax,
  });
  return wrap(
    retry(handleAll, { maxAttempts: repeats.attemptsMax - 1, backoff }),
    circuitBreaker(handleAll, {
      halfOpenAfter: breaker.openMs,
      breaker: new SamplingBreaker({
        threshold: breaker.failureRatio,
        duration: breaker.windowMs,
        minimumRps: (breaker.callsMin * 1_000) / breaker.windowMs,
      }),
    }),
    bulkhead(places.concurrentMax, places.queueMax),
  );
}

const BATCH = 500;
const BATCHES_MIN = 50;
const MILLISECONDS_MAX = 3_000;
