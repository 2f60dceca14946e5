import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { layOut, shardAtOf, shardsOf, slotAtOf, slotOf } from './layout.js';

it('regions of a layout follow one another, aligned for what is read of them, and numbers of slots come back', () => {
  const plan = fc.record({
    shards: fc.integer({ min: 1, max: 128 }),
    entriesPerShard: fc.integer({ min: 1, max: 5_000 }),
    blocksPerShard: fc.integer({ min: 1, max: 5_000 }),
    blockBytes: fc.integer({ min: 1, max: 64 }).map((eighth) => 8 * eighth),
    hash: fc.integer(),
  });
  fc.assert(
    fc.property(plan, ({ shards, entriesPerShard, blocksPerShard, blockBytes, hash }) => {
      const layout = layOut({
        shards,
        entriesMax: shards * entriesPerShard,
        bytesMax: shards * blocksPerShard * blockBytes,
        valueBytesMax: 1,
        blockBytes,
        hashSeed: 0,
      });
      const { watermarksAt, expiriesAt, bucketsAt, slotsAt, linksAt, blocksAt, shardWords } = layout;
      expect(layout.blocksPerShard).toBe(blocksPerShard);
      expect(layout.bucketsPerShard).toBeGreaterThanOrEqual(Math.min(entriesPerShard, blocksPerShard));
      // Words of 64 bits, then a cache line if the memory begins 16 bytes after one.
      expect([layout.shardAt % 2, watermarksAt % 2, expiriesAt % 2, (slotsAt + 4) % 16, (blocksAt + 4) % 16, shardWords % 16]).toEqual([
        0, 0, 0, 0, 0, 0,
      ]);
      const slotWords = slotAtOf(slotsAt, 0, 2) - slotAtOf(slotsAt, 0, 1);
      const ends = [
        watermarksAt + 2 * 64,
        expiriesAt + 2 * blocksPerShard,
        bucketsAt + layout.bucketsPerShard,
        slotsAt + slotWords * blocksPerShard,
        linksAt + blocksPerShard,
        blocksAt + (blocksPerShard * blockBytes) / 4,
      ];
      const begins = [expiriesAt, bucketsAt, slotsAt, linksAt, blocksAt, shardWords];
      for (const [i, end] of ends.entries()) expect(begins[i]).toBeGreaterThanOrEqual(end);
      const all = shardsOf(layout);
      expect(all).toContain(shardAtOf(layout, hash));
      const last = all.at(-1)!;
      expect(layout.byteLength).toBe((last + shardWords) * 4);
      for (const slot of [1, blocksPerShard]) expect(slotOf(slotsAt, last, slotAtOf(slotsAt, last, slot))).toBe(slot);
    }),
    { seed: seedFromEnv() },
  );
});
