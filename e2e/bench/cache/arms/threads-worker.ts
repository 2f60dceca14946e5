import { workerData } from 'node:worker_threads';
import { SharedLruCache } from '@diptych/cache/engine';
import { ENTRIES, keysOf, valueOf, WORK_LENGTH, workOf } from './load.js';
import type { ThreadData } from './threads-signal.js';
import { courseOf, END, Signal, WAIT } from './threads-signal.js';

/*
 * A thread of the row `threads`: runs courses as it is told.
 */
const { memories, signal, seed, courses } = workerData as ThreadData;
const caches = memories.map((memory) => SharedLruCache.attach(memory, { lockTimeoutMs: 10_000 }));
const keys = keysOf(ENTRIES);
const values = keys.map((_, i) => valueOf(i));
const plans = courses.map((course) => course && { ...course, cache: caches[course.cache]!, ...workOf(seed, course.keys, 0.05) });

for (let turn = WAIT; (turn = after(turn)) !== END;) {
  Atomics.add(signal, Signal.RUNNING, 1);
  const plan = plans[courseOf(turn)];
  if (plan === undefined) Atomics.wait(signal, Signal.TURN, turn);
  else Atomics.add(signal, Signal.OPERATIONS, run(plan, turn));
  Atomics.sub(signal, Signal.RUNNING, 1);
}

/** Waits until this turn is over and the next begins. */
function after(turn: number): number {
  for (;;) {
    const now = Atomics.load(signal, Signal.TURN);
    if (now !== WAIT && now !== turn) return now;
    Atomics.wait(signal, Signal.TURN, now);
  }
}

function run({ cache, first, numbers, adds }: NonNullable<(typeof plans)[number]>, turn: number): number {
  let [operations, wrong] = [0, 0];
  for (; Atomics.load(signal, Signal.TURN) === turn; operations += 64)
    for (let i = operations; i < operations + 64; i++) {
      const at = i & (WORK_LENGTH - 1);
      const number = first + numbers[at]!;
      if (adds[at] === 1) cache.add(keys[number]!, values[number]!);
      else if (cache.get(keys[number]!)?.readUInt32LE() !== number) wrong++;
    }
  if (wrong > 0) Atomics.add(signal, Signal.WRONG, wrong);
  return operations;
}
