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

/** What both threads look at. There is one job at a time. */
export interface CommitDesk {
  readonly control: Int32Array;
  readonly position: Float64Array;
  /** Places in `control`: how many jobs were posted, and of the last one how many memories had been sent, in which block it lies, and so on. */
  readonly field: Readonly<Record<'posted' | 'memories' | 'block' | 'descriptor' | 'length' | 'seed' | 'roomBytes', number>>;
}

/** Memory for one of the two blocks, from now on. */
export interface CommitMemory {
  readonly block: number;
  readonly memory: SharedArrayBuffer;
}

/** How a job ended: when the batch is on stable storage, whether there was space for room. */
export type CommitOutcome = boolean | { readonly message: string; readonly code: string | undefined };

const { blockOf } = await import('./byte-block.js');
const { isNoSpace } = await import('./file-system.js');
const { ROOM_BYTE } = await import('./record-layout.js');
const { completeRecords } = await import('./record.js');
const { control, position, field } = workerData as CommitDesk;
const room = Buffer.alloc(64 * 1024, ROOM_BYTE);
const blocks: ByteBlock[] = [];
let received = 0;
parentPort!.postMessage('ready');

for (let done = 0; ;) {
  const posted = Atomics.load(control, field.posted);
  if (done === posted) {
    Atomics.wait(control, field.posted, posted);
    continue;
  }
  done = posted;
  parentPort!.postMessage(commit());
}

function commit(): CommitOutcome {
  try {
    for (; received !== control[field.memories]; received++) {
      const { block, memory } = receiveMessageOnPort(parentPort!)!.message as CommitMemory;
      blocks[block] = blockOf(Buffer.from(memory));
    }
    const block = blocks[control[field.block]!]!;
    const descriptor = control[field.descriptor]!;
    const length = control[field.length]!;
    completeRecords(block, length, control[field.seed]! >>> 0);
    write(descriptor, block.bytes, length, position[0]!);
    const hasRoom = writeRoom(descriptor, position[0]! + length, control[field.roomBytes]!);
    fdatasyncSync(descriptor);
    return hasRoom;
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    return { message, code };
  }
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
