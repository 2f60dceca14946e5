import fs from 'node:fs';
import { join } from 'node:path';
import { CONTEXT, inParallel, keyOf, openLog, RECORD_BYTES } from './load.js';

interface Parameters {
  readonly keys: number;
  readonly waiting: number;
  readonly count: number;
}

/** The same scattered order in both arms. */
const pick = (i: number, keys: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 0) % keys;

export async function engineReads(directory: string, { keys, waiting, count }: Parameters) {
  const log = await openLog(directory, { compactionGarbageRatio: 1 });
  const names = Array.from({ length: count }, (_, i) => keyOf(pick(i, keys)));
  let bytes = 0;
  const work = async (i: number) => {
    const { entry } = await log.read({ key: names[i]! }, CONTEXT);
    bytes += entry!.value.byteLength;
  };
  const figures = await timed(waiting, count, work);
  if (bytes !== 2 * 256 * count) throw new Error(`read ${bytes} bytes`);
  await log.close();
  return figures;
}

/** A read of as many bytes at as scattered places, into a fresh buffer each, since the answer is the caller's to keep. */
export async function bareReads(directory: string, { keys, waiting, count }: Parameters) {
  const path = fs.readdirSync(directory).find((name) => name.endsWith('.segment'))!;
  const descriptor = fs.openSync(join(directory, path), 'r');
  const records = Math.min(keys, Math.floor((fs.fstatSync(descriptor).size - 64) / RECORD_BYTES));
  let bytes = 0;
  const work = (i: number) =>
    new Promise<void>((resolve, reject) => {
      const target = Buffer.allocUnsafeSlow(RECORD_BYTES);
      fs.read(descriptor, target, 0, RECORD_BYTES, 64 + pick(i, records) * RECORD_BYTES, (error, count) => {
        if (error) return reject(error);
        bytes += count;
        resolve();
      });
    });
  const figures = await timed(waiting, count, work);
  if (bytes !== 2 * RECORD_BYTES * count) throw new Error(`read ${bytes} bytes`);
  fs.closeSync(descriptor);
  return figures;
}

/** All of it twice; the second time counts, when the pages are in memory. */
async function timed(waiting: number, count: number, work: (i: number) => Promise<unknown>) {
  await inParallel(waiting, count, work);
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await inParallel(waiting, count, work);
  const readsPerSecond = (count / (performance.now() - startMs)) * 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { readsPerSecond, cpuUsPerRead: (user + system) / count };
}
