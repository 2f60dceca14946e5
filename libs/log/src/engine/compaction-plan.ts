/** What a plan needs to know of a segment that is written to no more. */
export interface Compactable {
  readonly bytes: number;
  readonly records: number;
  /** Of puts that were superseded. */
  readonly deadBytes: number;
  readonly tombstoneBytes: number;
  readonly traceBytes: number;
  readonly lastRevision: number;
  /** No put is in it that a mutation up to here superseded. */
  readonly cleanThrough: number;
  /** All its request ids are out of the dedupe window. */
  readonly aged: boolean;
}

export interface CompactionLimits {
  /** Share of garbage from which a rewrite pays; over 0, at most 1. */
  readonly garbageRatio: number;
  /** Less garbage is left alone. */
  readonly garbageBytesMin: number;
  /** Of a run's rewrite: so much disk it needs besides. */
  readonly outputBytesMax: number;
}

/** Adjacent segments, by their place in the list, that one is to be made of. */
export interface Run {
  readonly first: number;
  readonly count: number;
}

/**
 * Chooses what to compact next; undefined when nothing is worth it. `segments` are all but the newest, oldest first.
 *
 * A run is worth rewriting when the share of its garbage is the ratio or more, so each byte that is written frees at least
 * `ratio / (1 - ratio)` others (Kafka's cleaner and Bitcask's merge trigger by such a share too). Of those that are, the one that frees most for what it
 * costs. After a rewrite what was counted as garbage is gone, so this comes to an end.
 */
export function planCompaction(segments: readonly Compactable[], limits: CompactionLimits): Run | undefined {
  return bestRun(segments, limits) ?? blockingRun(segments, limits) ?? crowdedRun(segments, limits);
}

/** What compacting it alone would free, if everything older is clean through `floor`. */
export function garbageBytesOf(segment: Compactable, floor: number): number {
  const { bytes, records, deadBytes, tombstoneBytes, traceBytes, lastRevision, aged } = segment;
  // Inside the window a superseded put leaves its trace.
  if (!aged) return deadBytes * Math.max(0, 1 - TRACE_BYTES / (bytes / Math.max(records, 1)));
  return deadBytes + traceBytes + (floor >= lastRevision ? tombstoneBytes : 0);
}

/** For each segment: through which revision all older ones are clean. Tombstones up to there delete nothing any more. */
export function cleanFloors(segments: readonly Compactable[]): number[] {
  let floor = Infinity;
  return segments.map((segment) => {
    const own = floor;
    if (segment.deadBytes > 0) floor = Math.min(floor, segment.cleanThrough);
    return own;
  });
}

function bestRun(segments: readonly Compactable[], { garbageRatio, garbageBytesMin, outputBytesMax }: CompactionLimits): Run | undefined {
  const floors = cleanFloors(segments);
  let best: Run | undefined;
  let bestScore = -Infinity;
  for (let first = 0; first < segments.length; first++) {
    let bytes = 0;
    let garbage = 0;
    const end = Math.min(segments.length, first + RUN_SEGMENTS_MAX);
    for (let i = first; i < end; i++) {
      const segment = segments[i]!;
      bytes += segment.bytes;
      garbage += garbageBytesOf(segment, floors[first]!);
      const count = i - first + 1;
      const left = bytes - garbage;
      if (left > outputBytesMax) break;
      if (garbage < garbageBytesMin || garbage < garbageRatio * bytes) continue;
      // Taking a small neighbour along is worth a little, so that segments do not become many.
      const score = garbage - left / 2 + (count - 1) * (outputBytesMax / 16);
      if (score > bestScore) [best, bestScore] = [{ first, count }, score];
    }
  }
  return best;
}

/** The oldest segment that keeps newer tombstones from being dropped, once these weigh as much as it would free to be worth it. */
function blockingRun(
  segments: readonly Compactable[],
  { garbageRatio, garbageBytesMin, outputBytesMax }: CompactionLimits,
): Run | undefined {
  const floors = cleanFloors(segments);
  for (const [first, segment] of segments.entries()) {
    if (segment.deadBytes === 0) continue;
    let blocked = segment.deadBytes;
    for (let i = first + 1; i < segments.length; i++) {
      const { aged, tombstoneBytes, lastRevision } = segments[i]!;
      if (aged && segment.cleanThrough < lastRevision && floors[i]! < lastRevision) blocked += tombstoneBytes;
    }
    const worth = blocked >= garbageBytesMin && blocked >= garbageRatio * segment.bytes && blocked > segment.deadBytes;
    if (worth && segment.bytes - segment.deadBytes <= outputBytesMax) return { first, count: 1 };
  }
  return undefined;
}

/** Many small ones, left by crashes. */
function crowdedRun(segments: readonly Compactable[], { outputBytesMax }: CompactionLimits): Run | undefined {
  let first = 0;
  let bytes = 0;
  for (const [i, segment] of segments.entries()) {
    bytes += segment.bytes;
    while (bytes > outputBytesMax / 2) bytes -= segments[first++]!.bytes;
    if (i - first + 1 >= CROWD_SEGMENTS) return { first, count: CROWD_SEGMENTS };
  }
  return undefined;
}

const RUN_SEGMENTS_MAX = 64;
const CROWD_SEGMENTS = 16;
/** About what the trace of a put takes: the head of a record, a key and a request id. */
const TRACE_BYTES = 160;
