import { parentPort, workerData } from 'node:worker_threads';
import { machineNowMs } from './loads.js';

/** Sleeps until each arrival is due, and wakes the thread that makes the calls. Ends with the last. */
const dueMs = workerData as Float64Array;
const never = new Int32Array(new SharedArrayBuffer(4));
for (let next = 0; next < dueMs.length;) {
  const leftMs = dueMs[next]! - machineNowMs();
  if (leftMs > 0) {
    Atomics.wait(never, 0, 0, leftMs);
    continue;
  }
  parentPort!.postMessage(0);
  const nowMs = machineNowMs();
  while (next < dueMs.length && dueMs[next]! <= nowMs) next++;
}
