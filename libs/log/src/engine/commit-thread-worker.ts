import { fdatasyncSync, writeSync } from 'node:fs';
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
  /** Places in `control`: how many jobs were posted, and of the last one how many memories had been sent, in the newest of which it lies, and so on. */
  readonly field: Readonly<Record<'posted' | 'memories' | 'descriptor' | 'length' | 'seed', number>>;
}

/** How a job ended: null when the batch is on stable storage. */
export type CommitFailure = { readonly message: string; readonly code: string | undefined } | null;

const { blockOf } = await import('./byte-block.js');
const { completeRecords } = await import('./record.js');
const { control, position, field } = workerData as CommitDesk;
let block: ByteBlock;
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

function commit(): CommitFailure {
  try {
    for (; received !== control[field.memories]; received++)
      block = blockOf(Buffer.from(receiveMessageOnPort(parentPort!)!.message as SharedArrayBuffer));
    const length = control[field.length]!;
    completeRecords(block, length, control[field.seed]! >>> 0);
    write(control[field.descriptor]!, block.bytes, length, position[0]!);
    fdatasyncSync(control[field.descriptor]!);
    return null;
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
