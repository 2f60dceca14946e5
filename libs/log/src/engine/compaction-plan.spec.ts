import { expect, it } from 'vitest';
import type { Compactable } from './compaction-plan.js';
import { cleanFloors, planCompaction } from './compaction-plan.js';

const LIMITS = { garbageRatio: 0.5, garbageBytesMin: 10, outputBytesMax: 1_000 };

function segments(...parts: Array<Partial<Compactable>>): Compactable[] {
  return parts.map((part, i) => ({
    bytes: 1_000,
    records: 4,
    deadBytes: 0,
    tombstoneBytes: 0,
    traceBytes: 0,
    lastRevision: (i + 1) * 10,
    cleanThrough: 0,
    aged: true,
    ...part,
  }));
}

it('leaves alone what has little garbage', () => {
  expect(planCompaction(segments({}, { deadBytes: 400 }), LIMITS)).toBeUndefined();
  expect(planCompaction(segments({ bytes: 16, deadBytes: 9 }), LIMITS)).toBeUndefined();
  expect(planCompaction([], LIMITS)).toBeUndefined();
});

it('takes neighbours together when what is left of them fits into one', () => {
  expect(planCompaction(segments({}, { deadBytes: 900 }, { deadBytes: 800 }, {}), LIMITS)).toEqual({ first: 1, count: 2 });
});

it('takes a small neighbour along, and not a large one', () => {
  expect(planCompaction(segments({ bytes: 20 }, { deadBytes: 900 }), LIMITS)).toEqual({ first: 0, count: 2 });
  expect(planCompaction(segments({ bytes: 500 }, { deadBytes: 900 }), LIMITS)).toEqual({ first: 1, count: 1 });
});

it('writes no more than there is room for', () => {
  expect(planCompaction(segments({ deadBytes: 600 }, { deadBytes: 950 }), { ...LIMITS, outputBytesMax: 100 })).toEqual({
    first: 1,
    count: 1,
  });
});

it('counts tombstones only when everything older is clean, and traces only after the window', () => {
  const tombs = { tombstoneBytes: 900 };
  expect(planCompaction(segments({}, tombs), LIMITS)).toEqual({ first: 1, count: 1 });
  expect(planCompaction(segments({ deadBytes: 20, cleanThrough: 20, bytes: 2_000 }, tombs), LIMITS)).toEqual({ first: 1, count: 1 });
  expect(planCompaction(segments({ deadBytes: 20, cleanThrough: 19, bytes: 3_000 }, tombs), LIMITS)).toBeUndefined();
  expect(planCompaction(segments({ traceBytes: 900, aged: false }), LIMITS)).toBeUndefined();
  expect(planCompaction(segments({ traceBytes: 900 }), LIMITS)).toEqual({ first: 0, count: 1 });
});

it('compacts what keeps many tombstones from going', () => {
  expect(planCompaction(segments({ deadBytes: 20 }, { tombstoneBytes: 300 }, { tombstoneBytes: 300 }), LIMITS)).toEqual({
    first: 0,
    count: 1,
  });
});

it('inside the dedupe window counts what a trace is smaller than its record', () => {
  const fresh = { deadBytes: 900, aged: false };
  expect(planCompaction(segments({ ...fresh, records: 10 }), LIMITS)).toBeUndefined();
  expect(planCompaction(segments({ ...fresh, records: 1 }), LIMITS)).toEqual({ first: 0, count: 1 });
});

it('puts many small segments together', () => {
  expect(planCompaction(segments(...Array.from({ length: 16 }, () => ({ bytes: 20 }))), LIMITS)).toEqual({ first: 0, count: 16 });
});

it('a segment without dead puts is clean through everything', () => {
  expect(cleanFloors(segments({}, { deadBytes: 1, cleanThrough: 7 }, { deadBytes: 1, cleanThrough: 9 }, {}))).toEqual([
    Infinity,
    Infinity,
    7,
    7,
  ]);
});
