import { fdatasyncSync, ftruncateSync, writeSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { ByteBlock } from './byte-block.js';

/*
 * The thread that commits: completes the records of a batch, writes it, syncs it, says so, and sleeps. From source it is TypeScript, as in report-worker.ts.
 */
if (import.meta.url.endsWith('.ts'))
  registerHooks({
    resolve: (specifier, context, next) => next(specifier.startsWith('.') ? specifier.replace(/\.js$/, '.ts') : specifier, context),
  });

/** What both threads look at. There are at most two jobs, each with a place of its own, which they have in turns. */
export interface CommitDesk {
  readonly control: Int32Array;
  /** By place: where in the file it begins. */
  readonly positions: Float64Array;
  /** By place, when it is done: how long it took. */
  readonly elapsedMs: Float64Array;
  /** Where in `control` what is said of each job begins. */
  readonly jobs: readonly number[];
  /** In `control`: how many jobs were posted. The rest of each job, behind where it begins; `memories` are those that had been sent by then. */
  readonly field: Readonly<Record<'posted' | 'descriptor' | 'length' | 'seed' | 'roomBytes' | 'epoch' | 'memories', number>>;
}

/** Memory for the records of a place, from now on. */
export interface CommitMemory {
  readonly place: number;
  readonly memory: SharedArrayBuffer;
}

/** How a job ended: when the batch is on stable storage, whether there was space for room. */
export type CommitOutcome = boolean | 'not begun' | { readonly message: string; readonly code: string | undefined };

const { blockOf } = await import('./byte-block.js');
const { isNoSpace } = await import('./file-system.js');
const { ROOM_BYTE } = await import('./record-layout.js');
const { completeRecords } = await import('./record.js');
const { control, positions, elapsedMs, jobs, field } = workerData as CommitDesk;
const room = Buffer.alloc(64 * 1024, ROOM_BYTE);
const blocks: ByteBlock[] = [];
let received = 0;
/** Nothing more of it is done: a job of it failed. */
let failedEpoch = 0;
parentPort!.postMessage('ready');

for (let done = 0; ;) {
  if (done === Atomics.load(control, field.posted)) {
    Atomics.wait(control, field.posted, done);
    continue;
  }
  parentPort!.postMessage(outcomeOf(done & 1));
  done = (done + 1) | 0;
}

function outcomeOf(place: number): CommitOutcome {
  const job = jobs[place]!;
  const epoch = control[job + field.epoch]!;
  if (epoch === failedEpoch) return 'not begun';
  const startedMs = performance.now();
  try {
    return commit(place, job);
  } catch (error) {
    failedEpoch = epoch;
    const { message, code } = error as NodeJS.ErrnoException;
    return { message, code };
  } finally {
    elapsedMs[place] = performance.now() - startedMs;
  }
}

function commit(place: number, job: number): boolean {
  for (; received !== control[job + field.memories]; received++) {
    const { place: of, memory } = receiveMessageOnPort(parentPort!)!.message as CommitMemory;
    blocks[of] = blockOf(Buffer.from(memory));
  }
  const block = blocks[place]!;
  const descriptor = control[job + field.descriptor]!;
  const length = control[job + field.length]!;
  const start = positions[place]!;
  completeRecords(block, length, control[job + field.seed]! >>> 0);
  write(descriptor, block.bytes, length, start);
  const hasRoom = writeRoom(descriptor, start + length, control[job + field.roomBytes]!);
  fdatasyncSync(descriptor);
  return hasRoom;
}

function write(descriptor: number, bytes: Buffer, length: number, start: number): void {
  for (let done = 0; done < length;) {
    const count = writeSync(descriptor, bytes, done, length - done, start + done);
    if (count === 0) throw Object.assign(new Error('ENOSPC: the file takes no more bytes, write'), { code: 'ENOSPC' });
    done += count;
  }
}

function writeRoom(descriptor: number, start: number, bytes: number): boolean {
  try {
    for (let done = 0; done < bytes; done += room.length) write(descriptor, room, Math.min(room.length, bytes - done), start + done);
    return true;
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    ftruncateSync(descriptor, start);
    return false;
  }
}
