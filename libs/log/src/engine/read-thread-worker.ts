import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

/*
 * The thread that reads: does what was posted in order, and sleeps when there is no more. It imports Node's own modules alone, so that it starts from source, too.
 */
/** What both threads look at. Slots are used in turn. */
export interface ReadRing {
  readonly control: Int32Array;
  /** Of each slot: the file's descriptor; how many bytes to read, and then how many were. */
  readonly jobs: Int32Array;
  readonly positions: Float64Array;
  readonly data: SharedArrayBuffer;
  readonly slots: number;
  readonly slotBytes: number;
  /** Places in `control`: how many were posted, how many are done, and whether that was told since it was last looked at. */
  readonly field: { readonly posted: number; readonly done: number; readonly told: number };
}

const { control, jobs, positions, data, slots, slotBytes, field } = workerData as ReadRing;
const target = Buffer.from(data);
parentPort!.postMessage('ready');

for (let done = 0; ;) {
  const posted = Atomics.load(control, field.posted);
  if (done === posted) {
    Atomics.wait(control, field.posted, posted);
    continue;
  }
  const slot = done & (slots - 1);
  jobs[slot * 2 + 1] = read(jobs[slot * 2]!, slot * slotBytes, jobs[slot * 2 + 1]!, positions[slot]!);
  done = (done + 1) | 0;
  Atomics.store(control, field.done, done);
  // One message for all that is done until it is looked at.
  if (Atomics.exchange(control, field.told, 1) === 0) parentPort!.postMessage('done');
}

/** Bytes read; -1 when it failed. */
function read(descriptor: number, at: number, length: number, position: number): number {
  try {
    return readSync(descriptor, target, at, length, position);
  } catch {
    return -1;
  }
}
