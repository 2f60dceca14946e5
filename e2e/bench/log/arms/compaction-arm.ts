import { join } from 'node:path';
import { CONTEXT, inParallel, openLog, percentile, requestsOf } from './load.js';

const KEYS = 20_000;
/** Appends beforehand: so much garbage that compaction is not done with it before the appends that count are. */
const BEFORE = KEYS * 20;
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
  const requestOf = requestsOf(count + BEFORE, KEYS);
  await inParallel(256, BEFORE, (i) => log.append(requestOf(i), CONTEXT));
  const latencies: number[] = [];
  let endMs = Infinity;
  let busyMs = 0;
  const background = (async () => {
    while (compact && endMs === Infinity) {
      const beganMs = performance.now();
      const before = log.status.compaction.compactions;
      await log.compact();
      // It was at work, unless it found nothing to do.
      if (log.status.compaction.compactions > before) busyMs += Math.min(performance.now(), endMs) - beganMs;
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const startMs = performance.now();
  await inParallel(waiting, count, async (i) => {
    const sentMs = performance.now();
    await log.append(requestOf(BEFORE + i), CONTEXT);
    latencies.push((performance.now() - sentMs) * 1_000);
  });
  endMs = performance.now();
  await background;
  const busyShare = busyMs / (endMs - startMs);
  await log.close();
  if (compact && busyShare < 0.5) throw new Error(`compaction ran for ${Math.round(busyShare * 100)} % of the time only`);
  return { p50Us: percentile(latencies, 0.5), p99Us: percentile(latencies, 0.99), busyPercent: busyShare * 100 };
}
