import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { systemClock } from '@diptych/kernel';
import { seededRandom, waitFor } from '@diptych/testing';
import { SharedLruCache } from '../../src/engine/shared-lru/shared-lru-cache.js';
import { BLOCK_BYTES, BYTES_MAX, CAPACITY, Found, KEYS, RssLooks, SHARDS } from './soak-state.js';
import type { SoakReport, SoakTask, SoakThread } from './soak-state.js';
import { problemsOf } from './soundness.js';

/*
 * A soak of `SharedLruCache` in a process of its own: `soak-main <task as JSON>`. Prints its report as one line of JSON.
 */
const { seed, operations, threads, kills } = JSON.parse(process.argv[2]!) as SoakTask;
const random = seededRandom(seed);
const cache = SharedLruCache.create({ capacity: CAPACITY, bytesMax: BYTES_MAX, shards: SHARDS, blockBytes: BLOCK_BYTES });
const found = new Int32Array(new SharedArrayBuffer(8 * 4));
const invalidated = new Int32Array(new SharedArrayBuffer(KEYS * 4));
const done = () => Atomics.load(found, Found.OPERATIONS);
const rss = new RssLooks(operations);
let [looks, overBound, killsInside, born] = [0, 0, 0, 0];

const beganMs = performance.now();
const looking = systemClock.every(2, look);
let running = Array.from({ length: threads }, start);
for (let i = 0; i < kills; i++) {
  // Somewhere in the work of the thread, wherever it is by then.
  const at = done() + 1 + Math.floor(random() * 20_000);
  await waitFor(() => done() >= at, { what: `operation ${at}, so that the threads are alive`, timeoutMs: 60_000, pollMs: 1 });
  const victim = running[Math.floor(random() * running.length)]!;
  const { threadId } = victim;
  await victim.terminate();
  if (cache.threadExited(threadId, Atomics.load(found, Found.REVISION)) > 0) killsInside++;
  running = [...running.filter((worker) => worker !== victim), start()];
}
const ended = Promise.all(running.map((worker) => once(worker, 'exit')));
await waitFor(() => done() >= operations, { what: 'the last operation', timeoutMs: 3_600_000, pollMs: 50 });
await ended;
look();
looking[Symbol.dispose]();

const report: SoakReport = {
  operations: done(),
  checked: Atomics.load(found, Found.CHECKED),
  torn: Atomics.load(found, Found.TORN),
  stale: Atomics.load(found, Found.STALE),
  looks,
  overBound,
  kills,
  killsInside,
  problems: problemsOf(cache.memory),
  counts: cache.counts,
  rssMb: rss.mb,
  seconds: Math.round(performance.now() - beganMs) / 1_000,
};
console.log(JSON.stringify(report));

function start(): Worker {
  const workerData: SoakThread = { memory: cache.memory, found, invalidated, seed: seed + ++born, operations, watching: born % 3 === 1 };
  const worker = new Worker(new URL('soak-thread.ts', import.meta.url), { workerData });
  worker.once('error', (error) => {
    console.error(error);
    process.exit(1);
  });
  return worker;
}

function look(): void {
  looks++;
  if (cache.length > CAPACITY || cache.bytes > cache.bytesMax || cache.bytesMax > BYTES_MAX) overBound++;
  rss.look(done());
}
