import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { SharedLruCache } from '@diptych/cache/engine';
import { systemClock } from '@diptych/kernel';
import { seededRandom, waitFor } from '@diptych/testing';
import { shuffled } from '../../arms.js';
import { median } from '../../figures.js';
import type { Figures } from '../../messaging/bench-run.js';
import { ENTRIES, keysOf, roomFor, valueOf } from './load.js';
import type { Course, ThreadData } from './threads-signal.js';
import { END, Signal, turnOf, WAIT } from './threads-signal.js';

const SLICE_MS = 250;
const SLICES = 8;

/**
 * Two threads and four caches, in slices of a quarter of a second that take turns in random order, so that whatever else the machine does meets all alike;
 * the medians of the slices. By the clock, since waiting is what is asked about.
 */
export async function threads({ seed }: { seed: number }): Promise<Record<string, Figures>> {
  const all = { first: 0, keys: ENTRIES };
  const halves = [0, 1].map((half) => ({ first: (half * ENTRIES) / 2, keys: ENTRIES / 2 }));
  const memories = [filled(64, all), filled(1, all), ...halves.map((half) => filled(64, half))].map(({ memory }) => memory);
  // For each course, what each of the two threads uses; a thread without anything rests. As many entries in every course, so that no arm has the more memory.
  const courses: Record<string, ReadonlyArray<Course | undefined>> = {
    one: [{ cache: 0, ...all }],
    independent: halves.map((half, thread) => ({ cache: 2 + thread, ...half })),
    shards64: [0, 1].map(() => ({ cache: 0, ...all })),
    shards1: [0, 1].map(() => ({ cache: 1, ...all })),
  };
  const signal = new Int32Array(new SharedArrayBuffer(8 * 4));
  const workers = [0, 1].map((thread) => {
    const workerData: ThreadData = {
      memories,
      signal,
      seed: seed * 2 + thread,
      courses: Object.values(courses).map((each) => each[thread]),
    };
    return new Worker(new URL('./threads-worker.js', import.meta.url), { workerData });
  });
  const failed = Promise.race(workers.map((worker) => once(worker, 'error').then(([error]) => Promise.reject(error as Error))));
  const random = seededRandom(seed);
  const names = Object.keys(courses);
  const rates = new Map<string, number[]>(names.map((name) => [name, []]));
  let turns = 0;
  for (let slice = -1; slice < SLICES; slice++)
    for (const name of shuffled(names, random)) {
      const perSecond = await Promise.race([failed, run(signal, turnOf(++turns, names.indexOf(name)))]);
      // The first of each is for the compiler.
      if (slice >= 0) rates.get(name)!.push(perSecond);
    }
  Atomics.store(signal, Signal.TURN, END);
  Atomics.notify(signal, Signal.TURN);
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  if (signal[Signal.WRONG] !== 0) throw new Error(`${signal[Signal.WRONG]} look-ups missed, or brought another's value`);
  const one = median(rates.get('one')!);
  return Object.fromEntries(
    names.map((name) => {
      const opsPerSecond = median(rates.get(name)!);
      return [name, { opsPerSecond, speedUp: opsPerSecond / one }];
    }),
  );
}

/** @returns operations a second, of both threads */
async function run(signal: Int32Array, turn: number): Promise<number> {
  const running = (count: number) =>
    waitFor(() => Atomics.load(signal, Signal.RUNNING) === count, { what: `${count} threads at work`, pollMs: 1 });
  signal[Signal.OPERATIONS] = 0;
  Atomics.store(signal, Signal.TURN, turn);
  Atomics.notify(signal, Signal.TURN);
  const beganMs = performance.now();
  await running(2);
  await new Promise<void>((resolve) => systemClock.after(SLICE_MS, resolve));
  Atomics.store(signal, Signal.TURN, WAIT);
  Atomics.notify(signal, Signal.TURN);
  const tookMs = performance.now() - beganMs;
  await running(0);
  return (signal[Signal.OPERATIONS]! / tookMs) * 1_000;
}

function filled(shards: number, { first, keys }: Omit<Course, 'cache'>): SharedLruCache {
  const cache = SharedLruCache.create({ ...roomFor(keys), shards, lockTimeoutMs: 10_000 });
  const all = keysOf(ENTRIES);
  for (let i = first; i < first + keys; i++) cache.add(all[i]!, valueOf(i));
  if (cache.length !== keys) throw new Error(`${cache.length} of ${keys} entries fit in ${shards} shards`);
  return cache;
}
