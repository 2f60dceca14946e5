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
   * Reads that showed a value from before a delete although they may not: they began after that delete had been shown to a read that was answered by the same
   * edge, if that has one cache; or by any, or acknowledged, longer ago than the bound.
   */
  readonly resurrected: readonly ReadEvent[];
  /**
   * Reads that showed a value from before a delete that another edge had shown to a read that was answered before they began, or another cache behind the same
   * edge. Within the bound that is allowed, and no violation.
   */
  readonly undone: readonly ReadEvent[];
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
  return { staleMs, unread, tooOld, phantoms, ...undoneDeletes(reads, shownNumbers, byKey, bounds) };
}

/** 0 is the state before the first write; undefined: nothing explains what was shown. */
function numberShown({ shown, doneMs }: ReadEvent, ofKey: readonly WriteEvent[]): number | undefined {
  if (shown !== 'absent') return ofKey.find(({ number, kind, sentMs }) => number === shown && kind === 'put' && sentMs <= doneMs)?.number;
  return ofKey.findLast(({ kind, sentMs }) => kind === 'delete' && sentMs <= doneMs)?.number ?? 0;
}

/**
 * What became of deletes that somebody had seen. Here an absence stands for the oldest state that explains it and that nothing promised excludes, so that
 * nothing is called undone that may not have been done.
 */
function undoneDeletes(
  reads: readonly ReadEvent[],
  shownNumbers: ReadonlyArray<number | undefined>,
  byKey: ReadonlyMap<string, readonly WriteEvent[]>,
  { maxStaleMs, edgeIsCache }: Bounds,
): Pick<Judgement, 'resurrected' | 'undone'> {
  const resurrected = new Set<ReadEvent>();
  const undone = new Set<ReadEvent>();
  const entries = reads.map((read, i) => ({ read, number: shownNumbers[i] ?? 0 }));
  for (const [key, ofKey] of Map.groupBy(entries, ({ read }) => read.key)) {
    const writes = byKey.get(key) ?? [];
    const deletes = writes.filter(({ kind }) => kind === 'delete');
    const byAny = new Newest();
    const byEdge = new Map<string, Newest>();
    for (const { read, number } of ofKey.toSorted((a, b) => a.read.doneMs - b.read.doneMs)) {
      const here = byEdge.get(read.edge) ?? new Newest();
      byEdge.set(read.edge, here);
      const acked = writes.findLast(({ ackedMs }) => ackedMs < read.sentMs - maxStaleMs)?.number ?? 0;
      const floor = Math.max(acked, edgeIsCache ? here.before(read.sentMs) : 0, read.token ?? 0);
      const atLeast = floor === 0 ? 0 : (deletes.find((write) => write.number >= floor)?.number ?? number);
      for (const newest of [byAny, here]) newest.add(read.doneMs, read.shown === 'absent' ? Math.min(number, atLeast) : number);
    }
    for (const { read, number } of ofKey) {
      if (read.shown === 'absent') continue;
      const missed = deletes.filter((write) => write.number > number);
      const known = Math.max(edgeIsCache ? byEdge.get(read.edge)!.before(read.sentMs) : 0, byAny.before(read.sentMs - maxStaleMs));
      if (missed.some((write) => write.number <= known || read.sentMs - write.ackedMs > maxStaleMs)) resurrected.add(read);
      else if (missed.some((write) => write.number <= byAny.before(read.sentMs))) undone.add(read);
    }
  }
  return { resurrected: reads.filter((read) => resurrected.has(read)), undone: reads.filter((read) => undone.has(read)) };
}

/** The newest write that had been shown by a moment. */
class Newest {
  readonly #steps: Array<{ readonly doneMs: number; readonly number: number }> = [];

  /** In the order of `doneMs`. */
  add(doneMs: number, number: number): void {
    if (number > (this.#steps.at(-1)?.number ?? 0)) this.#steps.push({ doneMs, number });
  }

  before(atMs: number): number {
    return this.#steps.findLast(({ doneMs }) => doneMs < atMs)?.number ?? 0;
  }
}
