import type { CallContext, Clock } from '@diptych/kernel';
import { within } from '@diptych/kernel';
import type { Commit, LogPort, Position } from '@diptych/log';
import { COMMITTED_LIMIT_MAX, NO_INCARNATION } from '@diptych/log';

/**
 * Fills an empty cache with the keys that the log wrote last, so that not every reader after a start is sent to the log. Newest first, until a bound is
 * reached or the cache, or a shard of it, is full; those that end up in memory are then touched oldest first, so that the newest is forgotten last. What a
 * full cache pushed out by then were the newest: they are read once more, in place of the oldest.
 *
 * What was written last is what the log can say; what was *read* most nobody has kept. Where reads do not follow writes it warms little.
 *
 * Never throws: a log that does not answer ends it, and the cache is as good as one that was not warmed.
 */
export async function warmUp(log: LogPort, cache: Warmable, options: WarmUpOptions): Promise<WarmUpResult> {
  const { clock, keysMax, bytesMax, timeoutMs, signal } = options;
  const startedMs = clock.nowMs();
  const evictionsBefore = cache.counts().evictions;
  const pushedOut = () => cache.counts().evictions - evictionsBefore;
  const context = within(timeoutMs, { clock, signal });
  let end: WarmUpResult['end'] = 'complete';
  let keys: string[] = [];
  let filled = 0;
  try {
    keys = await recentKeys(log, keysMax, context);
    let next = 0;
    const reader = async () => {
      while (next < keys.length && end === 'complete') {
        if (cache.counts().bytes >= bytesMax) end = 'bytes';
        else if (pushedOut() > 0) end = 'full';
        else if (clock.nowMs() >= context.deadlineMs) end = 'time';
        else {
          await cache.fill(keys[next++]!, context);
          filled++;
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(READERS, options.readersMax) }, reader));
    const newest = keys.slice(0, Math.min(filled, pushedOut(), READERS));
    touchAll(cache, keys.slice(newest.length, filled));
    for (const key of newest.reverse()) await cache.fill(key, context);
  } catch (error) {
    end = clock.nowMs() >= context.deadlineMs ? 'time' : 'failed';
    options.onFailure?.(error);
  }
  touchAll(cache, keys.slice(0, filled));
  const { entries, bytes } = cache.counts();
  return { keys: filled, entries, bytes, elapsedMs: clock.nowMs() - startedMs, end };
}

/** @param keys newest first */
function touchAll(cache: Warmable, keys: readonly string[]): void {
  for (const key of keys.toReversed()) cache.touch(key);
}

/** Keys of the newest commits, newest first, without those that were deleted. Fewer when the log has forgotten what came before. */
async function recentKeys(log: LogPort, keysMax: number, context: CallContext): Promise<string[]> {
  const nowhere = { incarnation: NO_INCARNATION, partition: 0, revision: 0 };
  const { head } = await log.committed({ after: nowhere, limit: 1 }, context);
  const commits = await newestCommits(log, head, keysMax * COMMITS_A_KEY, context);
  const seen = new Set<string>();
  const keys: string[] = [];
  for (let i = commits.length - 1; i >= 0 && keys.length < keysMax; i--) {
    const { key, deleted } = commits[i]!;
    if (seen.has(key)) continue;
    seen.add(key);
    if (!deleted) keys.push(key);
  }
  return keys;
}

/** From as far back as the log still knows, at most `countMax` before the head: each RESYNC halves the distance. */
async function newestCommits(log: LogPort, head: Position, countMax: number, context: CallContext): Promise<Commit[]> {
  const commits: Commit[] = [];
  let distance = Math.min(head.revision, countMax);
  let after = head.revision - distance;
  while (after < head.revision) {
    const page = await log.committed({ after: { ...head, revision: after }, limit: COMMITTED_LIMIT_MAX }, context);
    if (page.kind === 'page' && page.commits.length > 0) {
      commits.push(...page.commits);
      after = page.commits.at(-1)!.revision;
    } else if (page.kind === 'resync' && page.head.incarnation === head.incarnation && commits.length === 0 && distance > 1) {
      distance = Math.floor(distance / 2);
      after = head.revision - distance;
    } else break;
  }
  return commits;
}

/** What a warm-up needs of a cache. */
export interface Warmable {
  counts(): { readonly entries: number; readonly bytes: number; readonly evictions: number };
  fill(key: string, context: CallContext): Promise<void>;
  touch(key: string): void;
}

export interface WarmUpOptions {
  readonly keysMax: number;
  /** It ends when the cache holds so many bytes; reads under way by then may add a few more. */
  readonly bytesMax: number;
  readonly timeoutMs: number;
  /** Of the cache: it never takes more flights than there are. */
  readonly readersMax: number;
  readonly clock: Clock;
  /** Ends it. */
  readonly signal: AbortSignal;
  readonly onFailure?: (error: unknown) => void;
}

export interface WarmUpResult {
  /** Read from the log. */
  readonly keys: number;
  /** In memory afterwards. */
  readonly entries: number;
  readonly bytes: number;
  readonly elapsedMs: number;
  /** `complete`: as many keys as were asked for, or as there were; `bytes`, `time`: that bound came first; `full`: the cache had room for no more. */
  readonly end: 'complete' | 'bytes' | 'full' | 'time' | 'failed';
}

/** So many reads under way at once, and so the most that are pushed out before the first of them is seen to be. */
const READERS = 32;
/** How many commits are looked at for each key that is wanted: keys that are written often come more than once. */
const COMMITS_A_KEY = 4;
