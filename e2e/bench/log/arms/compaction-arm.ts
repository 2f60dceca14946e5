import { join } from 'node:path';
import { CONTEXT, inParallel, openLog, percentile, requestsOf } from './load.js';

const KEYS = 20_000;
const SEGMENT_BYTES = 8 * 1024 * 1024;

/**
 * Latencies of appends by a few callers, while compaction runs all the time or never. Each put supersedes an older one, so there is always
 * something to compact. Request ids are forgotten soon, so that what is dead counts as garbage at once.
 */
export async function compactionAppends(
  directory: string,
  { waiting, count, compact }: { waiting: number; count: number; compact: boolean },
) {
  const log = await openLog(join(directory, 'log'), {
    segmentBytes: SEGMENT_BYTES,
    dedupeCountMax: 1_000,
    // At the rate of the defaults.
    compactionGarbageRatio: compact ? 0.3 : 1,
    compactionGarbageBytes: 1024 * 1024,
  });
  const requestOf = requestsOf(count + KEYS * 4, KEYS);
  await inParallel(256, KEYS * 4, (i) => log.append(requestOf(i), CONTEXT));
  const latencies: number[] = [];
  const before = log.status.compaction.compactions;
  let running = compact;
  const background = (async () => {
    while (running) {
      await log.compact();
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  await inParallel(waiting, count, async (i) => {
    const sentMs = performance.now();
    await log.append(requestOf(KEYS * 4 + i), CONTEXT);
    latencies.push((performance.now() - sentMs) * 1_000);
  });
  running = false;
  const compactions = log.status.compaction.compactions - before;
  await log.close();
  await background;
  if (compact && compactions === 0) throw new Error('nothing was compacted');
  return { p50Us: percentile(latencies, 0.5), p99Us: percentile(latencies, 0.99), compactions };
}
