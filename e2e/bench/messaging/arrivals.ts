import { Worker } from 'node:worker_threads';
import { seededRandom } from '@diptych/testing';
import type { Arrivals, LoadResult } from './loads.js';
import { machineNowMs } from './loads.js';
import type { Caller } from './peers/peer.js';

/**
 * Makes each call when it is due. Timers of Node are too coarse for that (a millisecond, as long as several calls take) and spinning would take
 * the processor from the servers; so a thread sleeps until the next arrival and wakes this one by a message, as a socket would. Latency counts
 * from when a call was due, so what the generator is late by is in it, for all peers alike; it is also told for itself.
 */
export async function arrivals(caller: Caller, load: Arrivals): Promise<LoadResult> {
  const dueMs = schedule(load);
  const countedFromMs = load.startMs + load.warmMs;
  const firstCounted = dueMs.findIndex((due) => due >= countedFromMs);
  const counted = firstCounted === -1 ? 0 : dueMs.length - firstCounted;
  const latenciesMs = new Float64Array(counted).fill(Number.POSITIVE_INFINITY);
  const latenessMs = new Float64Array(counted);
  let failures = 0;
  let next = 0;
  const calls: Array<Promise<void>> = [];
  const call = async (i: number): Promise<void> => {
    const due = dueMs[i]!;
    const place = i - firstCounted;
    if (place >= 0) latenessMs[place] = machineNowMs() - due;
    try {
      await caller.get(load.key);
      if (place >= 0) latenciesMs[place] = machineNowMs() - due;
    } catch {
      if (place >= 0) failures++;
    }
  };
  const pacer = new Worker(new URL('./arrivals-worker.js', import.meta.url), { workerData: dueMs });
  pacer.on('message', () => {
    const nowMs = machineNowMs();
    while (next < dueMs.length && dueMs[next]! <= nowMs) calls.push(call(next++));
  });
  await new Promise((resolve, reject) => pacer.once('exit', resolve).once('error', reject));
  // The last wake-up may have come a moment early.
  while (next < dueMs.length) calls.push(call(next++));
  await Promise.all(calls);
  return { calls: counted, elapsedMs: load.milliseconds - load.warmMs, latenciesMs, latenessMs, failures };
}

/** The gaps between arrivals are exponential, and independent of everything else. */
function schedule({ seed, ratePerSecond, startMs, milliseconds }: Arrivals): Float64Array {
  const random = seededRandom(seed);
  const due: number[] = [];
  for (let at = 0; ;) {
    at += (-Math.log(1 - random()) / ratePerSecond) * 1_000;
    if (at >= milliseconds) return Float64Array.from(due);
    due.push(startMs + at);
  }
}
