import { randomUUID } from 'node:crypto';
import { within } from '@diptych/kernel';
import type { AppendRequest } from '@diptych/log';
import { openFileLog } from '@diptych/log';
import type { FileLog, FileLogOptions } from '@diptych/log';

/** Long enough for any row; the context of all calls, since making one each is the caller's business. */
export const CONTEXT = within(3_600_000);

const VALUE_BYTES = 256;
const VALUES = 10_000;
const CONTENT_TYPE = 'application/octet-stream';

/** Of 24 bytes, spread over the order of keys so that neighbours in time are none in it. */
export function keyOf(number: number): string {
  const spread = Math.imul(number, 0x9e3779b1) >>> 0;
  return `key:${spread.toString(16).padStart(8, '0')}:${String(number).padStart(11, '0')}`;
}

/**
 * Makes puts of so many keys in turn, each with a request id of its own. Keys and ids are made beforehand, because making them is the caller's business.
 */
export function requestsOf(count: number, keys: number): (i: number) => AppendRequest {
  // Many, as the bare loop has many records: one that is always the same would always lie in the processor's nearest cache.
  const values = Array.from({ length: Math.min(keys, VALUES) }, (_, v) => new Uint8Array(VALUE_BYTES).map((_, i) => i * 7 + v));
  const names = Array.from({ length: keys }, (_, i) => flat(keyOf(i)));
  const ids = Array.from({ length: count }, () => flat(randomUUID()));
  return (i) => ({
    mutation: { kind: 'put', key: names[i % keys]!, value: values[i % values.length]!, contentType: CONTENT_TYPE },
    requestId: ids[i]!,
  });
}

/** Node puts a UUID together out of 20 pieces, and they are joined by whoever reads it first. What comes out of a message is in one piece. */
function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** What the engine writes for a request of `requestsOf`: the bare loops write as much. The head of a record has 76 bytes. */
export const RECORD_BYTES = 76 + 24 + CONTENT_TYPE.length + VALUE_BYTES + 36;

/** Lets `concurrency` callers share the work: each takes the next piece when its last one is done. */
export async function inParallel(concurrency: number, count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const caller = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
}

/** In a benchmark there is nothing that a person should know: a warning ends it. */
export function openLog(directory: string, options: Partial<FileLogOptions> = {}): Promise<FileLog> {
  return openFileLog({
    directory,
    onWarning: (message) => {
      throw new Error(`the log warns: ${message}`);
    },
    ...options,
  });
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
