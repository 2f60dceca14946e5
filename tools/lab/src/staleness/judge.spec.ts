import { describe, expect, it } from 'vitest';
import { judge, type ReadEvent, type WriteEvent } from './judge.js';

const BOUNDS = { maxStaleMs: 1_000, edgeIsCache: true };
/** `k` is put, put again, deleted and put once more, each acknowledged 10 ms after it was sent. */
const WRITES: WriteEvent[] = [
  { key: 'k', number: 1, kind: 'put', sentMs: 0, ackedMs: 10 },
  { key: 'k', number: 2, kind: 'put', sentMs: 100, ackedMs: 110 },
  { key: 'k', number: 3, kind: 'delete', sentMs: 200, ackedMs: 210 },
  { key: 'k', number: 4, kind: 'put', sentMs: 5_000, ackedMs: 5_010 },
];
const read = (sentMs: number, shown: ReadEvent['shown'], more: Partial<ReadEvent> = {}): ReadEvent => ({
  edge: 'e',
  key: 'k',
  sentMs,
  doneMs: sentMs + 5,
  shown,
  ...more,
});
const judged = (...reads: ReadEvent[]) => judge(WRITES, reads, BOUNDS);
const clean = { unread: [], resurrected: [], undone: [], tooOld: [], phantoms: [] };

describe('judge', () => {
  it('calls the newest state fresh, and a newer one that is not yet acknowledged too', () => {
    expect(judged(read(50, 1), read(105, 1), read(105, 2), read(300, 'absent'), read(6_000, 4))).toEqual({
      ...clean,
      staleMs: [0, 0, 0, 0, 0],
    });
  });

  it('says for how long the oldest newer write had been acknowledged', () => {
    expect(judged(read(150, 1), read(400, 1), read(400, 2)).staleMs).toEqual([40, 290, 190]);
    expect(judged(read(5_030, 'absent')).staleMs).toEqual([20]);
    expect(judged(read(50, 'absent')).staleMs).toEqual([40]);
  });

  it('catches what is older than the bound', () => {
    expect(judged(read(1_120, 1)).tooOld).toHaveLength(1);
    expect(judged(read(1_100, 1)).tooOld).toHaveLength(0);
  });

  it('catches a read that shows less than its token', () => {
    expect(judged(read(150, 1, { token: 2 }), read(150, 2, { token: 2 }), read(260, 'absent', { token: 3 })).unread).toHaveLength(1);
    expect(judged(read(260, 2, { token: 3 })).unread).toHaveLength(1);
    // Absent at a time when only the first put was acknowledged: nothing explains it but the state before.
    expect(judged(read(150, 'absent', { token: 1 })).unread).toHaveLength(1);
  });

  const elsewhere = { edge: 'other' };
  const undoing = (...reads: ReadEvent[]) => {
    const { resurrected, undone } = judged(...reads);
    return { resurrected: resurrected.length, undone: undone.length };
  };

  it('catches a delete that comes back to the edge that showed it', () => {
    expect(undoing(read(150, 2), read(300, 'absent'), read(310, 2))).toEqual({ resurrected: 1, undone: 0 });
    expect(undoing(read(150, 2), read(300, 'absent'), read(304, 2)), 'they overlapped').toEqual({ resurrected: 0, undone: 0 });
    // Without the first read the absence may be that from before the first write, by a cache that is old but not too old.
    expect(undoing(read(300, 'absent'), read(310, 2))).toEqual({ resurrected: 0, undone: 0 });
    expect(undoing(read(300, 'absent', { token: 3 }), read(310, 2))).toEqual({ resurrected: 1, undone: 0 });
    expect(undoing(read(150, 2), read(300, 'absent'), read(5_100, 4)), 'it was put again').toEqual({ resurrected: 0, undone: 0 });
  });

  it('counts a delete that one edge has shown and another undoes: allowed within the bound, and not beyond', () => {
    const seen = [read(150, 2), read(300, 'absent')];
    expect(undoing(...seen, read(310, 2, elsewhere))).toEqual({ resurrected: 0, undone: 1 });
    expect(undoing(...seen, read(310, 'absent', elsewhere))).toEqual({ resurrected: 0, undone: 0 });
    expect(undoing(read(1_300, 2, elsewhere))).toEqual({ resurrected: 1, undone: 0 });
    // Shown before it was acknowledged, which took long: what somebody has seen is older than the bound for everybody then.
    const writes = [...WRITES.slice(0, 2), { ...WRITES[2]!, ackedMs: 3_000 }];
    const { resurrected, tooOld } = judge(writes, [...seen, read(1_400, 2, elsewhere)], BOUNDS);
    expect([resurrected.length, tooOld.length]).toEqual([1, 0]);
  });

  it('behind an edge with several caches, each may be as old as the bound', () => {
    const several = { ...BOUNDS, edgeIsCache: false };
    const seen = read(300, 'absent', { token: 3 });
    const { resurrected, undone } = judge(WRITES, [seen, read(310, 2)], several);
    expect([resurrected.length, undone.length]).toEqual([0, 1]);
    expect(judge(WRITES, [seen, read(1_310, 2)], several).resurrected).toHaveLength(1);
  });

  it('catches what nobody wrote, or not yet', () => {
    expect(judged(read(300, 9)).phantoms).toHaveLength(1);
    expect(judged(read(10, 2)).phantoms).toHaveLength(1);
    expect(judged(read(300, 3)).phantoms, 'a delete has no value').toHaveLength(1);
  });
});
