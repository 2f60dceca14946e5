import { CONTEXT, inParallel, openLog, requestsOf } from './load.js';

/** A log of so many keys, one entry each, for the arms that open it. */
export async function fillLog(directory: string, { keys }: { keys: number }) {
  await using log = await openLog(directory, { compactionGarbageRatio: 1 });
  const requestOf = requestsOf(keys, keys);
  await inParallel(1_024, keys, (i) => log.append(requestOf(i), CONTEXT));
  return { keys: log.status.keys };
}
