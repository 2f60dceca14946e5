/** A write of one key, which has one writer: the n-th begins when the one before has been answered. Times are milliseconds on the observer's clock. */
export interface WriteEvent {
  readonly key: string;
  /** From 1 on, a key's own. */
  readonly number: number;
  readonly kind: 'put' | 'delete';
  readonly sentMs: number;
  /** When the acknowledgement came. */
  readonly ackedMs: number;
}

export interface ReadEvent {
  /** Whom it was sent to. */
  readonly edge: string;
  readonly key: string;
  readonly sentMs: number;
  readonly doneMs: number;
  /** The number of the write whose value was shown, or that the key was absent. */
  readonly shown: number | 'absent';
  /** The number of the write of this key that the token sent along stands for, or a later one's. Undefined: no token was sent. */
  readonly token?: number | undefined;
}

export interface Judgement {
  /** By read, in the order given: for how long a newer write had been acknowledged when the read began. A lower bound of its age; 0: it showed the newest. */
  readonly staleMs: readonly number[];
  /** Reads that showed less than their token stands for. */
  readonly unread: readonly ReadEvent[];
  /**
   * Reads that showed a value from before a delete although they began after that delete had been shown by the same edge to a read that was answered, or more
   * than the bound after it was acknowledged.
   */
  readonly resurrected: readonly ReadEvent[];
  /** Reads that were older than the bound allows. */
  readonly tooOld: readonly ReadEvent[];
  /** Reads of a value that nobody had written by then. */
  readonly phantoms: readonly ReadEvent[];
}

export interface Bounds {
  readonly maxStaleMs: number;
  /** Whether one edge stands for one cache, which shows nobody less than it has shown before. */
  readonly edgeIsCache: boolean;
}

/**
 * Holds reads against the writes of their keys. Nothing of this relies on what the system says of its own order: a value names its write, the writes of a
 * key follow each other, and an absence is taken for the newest delete that could explain it.
 */
export function judge(writes: readonly WriteEvent[], reads: readonly ReadEvent[], bounds: Bounds): Judgement {
  const byKey = Map.groupBy(writes, ({ key }) => key);
  for (const ofKey of byKey.values()) ofKey.sort((a, b) => a.number - b.number);
  const shownNumbers = reads.map((read) => numberShown(read, byKey.get(read.key) ?? []));
  const staleMs = reads.map((read, i) => {
    const newer = (byKey.get(read.key) ?? []).find(({ number }) => number > (shownNumbers[i] ?? 0));
    return newer ? Math.max(0, read.sentMs - newer.ackedMs) : 0;
  });
  const unread = reads.filter((read, i) => read.token !== undefined && (shownNumbers[i] ?? -1) < read.token);
  const tooOld = reads.filter((_, i) => staleMs[i]! > bounds.maxStaleMs);
  const phantoms = reads.filter((_, i) => shownNumbers[i] === undefined);
  return { staleMs, unread, tooOld, phantoms, resurrected: resurrected(reads, shownNumbers, byKey, bounds) };
}

/** 0 is the state before the first write; undefined: nothing explains what was shown. */
function numberShown({ shown, doneMs }: ReadEvent, ofKey: readonly WriteEvent[]): number | undefined {
  if (shown !== 'absent') return ofKey.find(({ number, kind, sentMs }) => number === shown && kind === 'put' && sentMs <= doneMs)?.number;
  return ofKey.findLast(({ kind, sentMs }) => kind === 'delete' && sentMs <= doneMs)?.number ?? 0;
}

function resurrected(
  reads: readonly ReadEvent[],
  shownNumbers: ReadonlyArray<number | undefined>,
  byKey: ReadonlyMap<string, readonly WriteEvent[]>,
  { maxStaleMs, edgeIsCache }: Bounds,
): ReadEvent[] {
  const found = new Set<ReadEvent>();
  const group = ({ edge, key }: ReadEvent) => `${edge}\n${key}`;
  const entries = reads.map((read, i) => ({ read, number: shownNumbers[i] ?? 0 }));
  for (const together of Map.groupBy(entries, ({ read }) => group(read)).values()) {
    const bySent = together.toSorted((a, b) => a.read.sentMs - b.read.sentMs);
    const byDone = together.toSorted((a, b) => a.read.doneMs - b.read.doneMs);
    // The newest that a read answered before this one began was shown.
    let done = 0;
    let newest = 0;
    for (const { read, number } of bySent) {
      for (; done < byDone.length && byDone[done]!.read.doneMs < read.sentMs; done++) newest = Math.max(newest, byDone[done]!.number);
      if (read.shown === 'absent') continue;
      const deletes = (byKey.get(read.key) ?? []).filter((write) => write.kind === 'delete' && write.number > number);
      if (deletes.some((write) => (edgeIsCache && write.number <= newest) || read.sentMs - write.ackedMs > maxStaleMs)) found.add(read);
    }
  }
  return reads.filter((read) => found.has(read));
}
