import { join } from 'node:path';
import { BareLog } from './bare-log.js';
import { CONTEXT, inParallel, openLog, percentile, RECORD_BYTES, requestsOf } from './load.js';

const KEYS = 10_000;

/** Appends by so many callers, each of which waits for its answer before it appends again. The first quarter is not counted. */
export async function engineAppends(directory: string, { waiting, count }: { waiting: number; count: number }) {
  const log = await openLog(join(directory, 'log'), { compactionGarbageRatio: 1 });
  const requestOf = requestsOf(count, KEYS);
  return measured(
    count,
    waiting,
    (i) => log.append(requestOf(i), CONTEXT),
    async () => {
      const { headRevision, keys } = log.status;
      if (headRevision !== count || keys !== Math.min(KEYS, count))
        throw new Error(`the log holds ${headRevision} mutations of ${keys} keys`);
      await log.close();
    },
  );
}

export async function bareAppends(directory: string, { waiting, count }: { waiting: number; count: number }) {
  const log = new BareLog(join(directory, 'bare'));
  // One of its own each, as the values of requests are.
  const records = Array.from({ length: KEYS }, () => Buffer.alloc(RECORD_BYTES, 7));
  return measured(
    count,
    waiting,
    (i) => log.append(records[i % KEYS]!),
    () => log[Symbol.asyncDispose](),
  );
}

async function measured(count: number, waiting: number, append: (i: number) => Promise<unknown>, end: () => Promise<void>) {
  const warmUp = Math.ceil(count / 4);
  await inParallel(waiting, warmUp, append);
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  const latencies: number[] = [];
  if (waiting === 1) {
    for (let i = warmUp; i < count; i++) {
      const sentMs = performance.now();
      await append(i);
      latencies.push((performance.now() - sentMs) * 1_000);
    }
  } else await inParallel(waiting, count - warmUp, (i) => append(warmUp + i));
  const elapsedMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpu);
  await end();
  return {
    appendsPerSecond: ((count - warmUp) / elapsedMs) * 1_000,
    cpuUsPerAppend: (user + system) / (count - warmUp),
    ...(waiting === 1 ? { p50Us: percentile(latencies, 0.5), p99Us: percentile(latencies, 0.99) } : {}),
  };
}
