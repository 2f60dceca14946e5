import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PendingRing } from './pending-ring.js';

it('does what a map from fresh ids would', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant('add' as const), count: fc.integer({ min: 1, max: 300 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), every: fc.integer({ min: 1, max: 5 }) }) },
  );
  fc.assert(
    fc.property(fc.constantFrom(0, 2 ** 30 - 100), fc.array(step, { maxLength: 30 }), (lastId, steps) => {
      const ring = new PendingRing<{ id: number }>(lastId);
      const map = new Map<number, { id: number }>();
      for (const step of steps) {
        if (step.do === 'add')
          for (let i = 0; i < step.count; i++) {
            const item = { id: -1 };
            ring.add(item);
            expect(map.has(item.id)).toBe(false);
            map.set(item.id, item);
          }
        else
          for (const item of [...map.values()].filter((_, i) => i % step.every === 0)) {
            map.delete(item.id);
            expect([ring.delete(item), ring.delete(item), ring.get(item.id)]).toEqual([true, false, undefined]);
          }
        expect(ring.size).toBe(map.size);
        for (const [id, item] of map) expect(ring.get(id)).toBe(item);
        expect(new Set(ring.all())).toEqual(new Set(map.values()));
      }
    }),
    { seed: seedFromEnv() },
  );
});

it('finds nobody for the id of one that has gone, though another lies in its place', () => {
  const ring = new PendingRing<{ id: number }>();
  const gone = { id: -1 };
  ring.add(gone);
  ring.delete(gone);
  for (let i = 0; i < 1_000; i++) {
    const next = { id: -1 };
    ring.add(next);
    expect(ring.get(gone.id)).toBeUndefined();
    ring.delete(next);
  }
});
